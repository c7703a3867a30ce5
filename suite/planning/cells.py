"""Cells, and a plan of them: what will happen to each, and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from suite.console import coloured, table
from suite.planning.locate import Missing
from suite.planning.request import Request
from suite.registry.schema import OptionValue, Recipe, Store
from suite.results.records import CellKey, Identity

if TYPE_CHECKING:
    import pandas as pd

Action = Literal["run", "cached", "unsupported", "missing"]
_COLOURS: Mapping[Action, str] = {
    "run": "bold", "cached": "green", "unsupported": "dim", "missing": "yellow",
}  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a cell's training starts from: a delta, and what it holds for one of its tasks."""

    delta: Path
    task: str


@dataclass(frozen=True)
class Cell:
    """Everything that determines one result."""

    key: CellKey
    recipe: Recipe
    options: Mapping[str, OptionValue]
    identity: Identity
    start: Start | None = None
    """None: the pretrained backbone and what the method adds to it, untrained."""

    @property
    def steps(self) -> int:
        """Optimizer steps of all its tasks."""
        return self.recipe.steps * len(self.key.tasks)


@dataclass(frozen=True)
class Planned:
    """A cell, what will happen to it, and why."""

    cell: Cell
    action: Action
    reason: str
    trained: bool = False
    """Whether the float32 delta of the same training is there."""
    missing: tuple[Missing, ...] = ()
    """What it needs that is not here."""


@dataclass(frozen=True)
class Job:
    """Cells to run that differ in nothing but `store`, float32 first: one training serves all of
    them, or none if it is `trained` already."""

    cells: tuple[Cell, ...]
    trained: bool = False


@dataclass(frozen=True, repr=False)
class Plan:
    """The cells of a request."""

    request: Request
    planned: tuple[Planned, ...]
    missing: tuple[Missing, ...] = ()
    """Data and weights that cells need and that are not here."""
    left_out: tuple[str, ...] = ()
    """Requested tracks and backbones that give no cell, and files that are no results in the place
    of one, each with the reason."""

    def with_action(self, action: Action) -> tuple[Planned, ...]:
        """The cells with one action."""
        return tuple(item for item in self.planned if item.action == action)

    def jobs(self) -> tuple[Job, ...]:
        """What there is to run: the most steps first, so that no worker is left with a long joint
        cell when the others have nothing to do; otherwise in the plan's order."""
        alike: dict[CellKey, list[Planned]] = {}
        for item in self.with_action("run"):
            alike.setdefault(item.cell.key.stored_as(Store.FLOAT32), []).append(item)
        jobs = (
            Job(
                tuple(sorted((i.cell for i in items), key=lambda c: c.key.store != Store.FLOAT32)),
                trained=items[0].trained,
            )
            for items in alike.values()
        )
        return tuple(sorted(jobs, key=lambda job: -job.cells[0].steps))

    def frame(self) -> "pd.DataFrame":
        """One row per cell: method, track, tasks, backbone, seed, action and reason."""
        import pandas as pd

        columns = ("method", "track", "tasks", "backbone", "seed", "action", "reason")
        rows = [
            (k.name, k.track, ",".join(k.tasks), k.backbone, k.seed, item.action, item.reason)
            for item in self.planned
            for k in [item.cell.key]
        ]
        return pd.DataFrame(rows, columns=columns)

    def table(self) -> str:
        """One line per cell, in aligned columns; empty without cells."""
        header = ("method", "task", "backbone", "seed", "action", "why")
        return table(header, map(_row, self.planned)) if self.planned else ""

    def __repr__(self) -> str:
        left_out = (f"left out: {reason}" for reason in self.left_out)
        lines = (self.table(), *left_out, *map(str, self.missing), self.counts)
        return "\n".join(line for line in lines if line)

    @property
    def counts(self) -> str:
        """How many cells there are with each action, in words."""
        counts = Counter(item.action for item in self.planned)
        nothing = "no cell has failed" if self.request.only_failed else "nothing to do"
        shard = self.request.shard
        part = f"part {shard} of the plan: " if shard else ""
        words = ("to run" if action == "run" else action for action in counts)
        pairs = zip(counts.values(), words, strict=True)
        return part + (", ".join(f"{count} {word}" for count, word in pairs) or nothing)


def _row(item: Planned) -> tuple[str, ...]:
    key = item.cell.key
    task = key.tasks[0] if len(key.tasks) == 1 else ""
    return (
        key.name,
        f"{key.track}/{task}" if task else f"{key.track} ({len(key.tasks)} tasks)",
        key.backbone,
        str(key.seed),
        coloured(item.action, _COLOURS[item.action]),
        item.reason,
    )
