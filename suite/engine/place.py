"""A place for one cell at a time in a process of another machine, and what it reports."""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from suite.console import shown
from suite.engine.devices import Device
from suite.engine.executor import Outcome
from suite.engine.executors.local import LocalExecutor
from suite.engine.progress import Progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Cell, Job
from suite.registry import Registry
from suite.results.claims import Claim

REPORT_SECONDS = 1.0
"""How long a report may wait for a cell to end."""


@dataclass(frozen=True)
class Event:
    """Something that is told to `Progress`, there and not here."""

    kind: Literal["started", "preparing", "stepped", "again", "note"]
    values: tuple[object, ...]

    def tell(self, progress: Progress) -> None:
        """Tell it now."""
        getattr(progress, self.kind)(*self.values)


@dataclass(frozen=True)
class Report:
    """What has happened since the report before."""

    events: list[Event] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    problem: str = ""
    """Why no result can be kept."""


class _Heard(Progress):
    """Keeps what it is told; of a cell's steps, the last."""

    def __init__(self) -> None:
        super().__init__(0)
        self.events: list[Event] = []

    def started(self, cell: Cell) -> None:
        self.events.append(Event("started", (cell,)))

    def preparing(self, cell: Cell, what: str) -> None:
        self.events.append(Event("preparing", (cell, what)))

    def stepped(self, cell: Cell, step: int, steps: int) -> None:
        if self.events and self.events[-1].kind == "stepped":
            self.events.pop()
        self.events.append(Event("stepped", (cell, step, steps)))

    def again(self, cell: Cell, why: str) -> None:
        self.events.append(Event("again", (cell, why)))

    def note(self, text: str) -> None:
        self.events.append(Event("note", (text,)))

    def take(self) -> list[Event]:
        taken, self.events = self.events, []
        return taken


class Place:
    """The pool of one worker, which keeps what it has loaded from cell to cell."""

    def __init__(
        self, registry: Registry, settings: Settings, device: str, variables: Mapping[str, str]
    ) -> None:
        os.environ.update(variables)
        self.heard = _Heard()
        self.pool = LocalExecutor([Device(device, 1, 1)], registry, settings, self.heard)

    def compute(self, job: Job, claim: Claim) -> Report:
        """Start the job; what has happened within the first second."""
        if not claim.own.exists() and not claim.is_held():
            here = f"the node {socket.gethostname()}"
            return Report(problem=f"{here} does not see {shown(claim.path.parent)}, as all must")
        self.pool.submit(job, claim)
        return self.report()

    def report(self) -> Report:
        """What has happened, as soon as a cell is over, or after a second."""
        until = time.monotonic() + REPORT_SECONDS
        outcomes: list[Outcome] = []
        try:
            while not outcomes and (left := until - time.monotonic()) > 0:
                outcomes = self.pool.receive(left)
        except UserError as error:
            return Report(problem=str(error))
        return Report(self.heard.take(), outcomes)


def gpu_bytes() -> int:
    """The memory of this process's GPU."""
    import torch

    return torch.cuda.mem_get_info()[1]
