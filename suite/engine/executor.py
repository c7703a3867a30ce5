"""What computes cells: the seam between a plan and the processes or machines that it runs on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from suite.engine import executors
from suite.engine.progress import Progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Cell, Job, Plan
from suite.registry import Registry
from suite.registry.names import did_you_mean
from suite.results.claims import Claim
from suite.results.records import Result


@dataclass(frozen=True)
class Outcome:
    """A cell that was submitted is over."""

    cell: Cell
    result: Result | None
    """It is on disk. None for a cell that was not computed: another run had taken its claim, or
    this one stops at the first failure."""


class Executor(Protocol):
    """Computes jobs. Each has been claimed, and keeps its claim until all of its cells are over.

    What happens to a cell (a loss of its process, a time limit) is recorded as its result by the
    executor; it tells `Progress` when a cell starts and what it does.
    """

    def has_room(self, job: Job) -> bool:
        """Whether the job would start now if it were submitted."""
        ...

    def submit(self, job: Job, claim: Claim) -> None:
        """Start a job that there is room for."""
        ...

    def receive(self, patience: float) -> Sequence[Outcome]:
        """The cells that are over, after waiting for at most so many seconds.

        Raises `UserError` if results cannot be kept.
        """
        ...

    def stop(self) -> None:
        """End everything that still runs, without results."""
        ...


MakeExecutor = Callable[[Plan, Registry, Settings, Progress], Executor]
"""The function `make` of a module in `suite/engine/executors`; such a module is all that a new
executor needs."""


def make_executor(
    plan: Plan, registry: Registry, settings: Settings, progress: Progress
) -> Executor:
    """The executor that `settings` names. Raises `UserError` if there is none of that name."""
    names = [module.name for module in iter_modules(executors.__path__)]
    if settings.executor not in names:
        near = did_you_mean(settings.executor, names)
        raise UserError(f"--executor: there is no '{settings.executor}'{near}")
    make: MakeExecutor = import_module(f"{executors.__name__}.{settings.executor}").make
    return make(plan, registry, settings, progress)
