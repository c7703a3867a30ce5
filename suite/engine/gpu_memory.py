"""Which cells fit into the memory of one GPU side by side, judged by the peaks of earlier cells."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suite.planning.cells import Cell, Plan
from suite.registry.schema import Recipe
from suite.results.files import NoResult
from suite.results.folder import Lookup
from suite.results.records import CellKey, Result

PROCESS_BYTES = 700 * 2**20
"""Memory of a process beside its tensors: CUDA context, libraries, workspaces."""


@dataclass(frozen=True)
class Network:
    """What is trained: cells alike in this take the same memory for the same examples."""

    method: str
    setting: str
    backbone: str
    scale: str
    batch_size: int | None


@dataclass(frozen=True)
class Examples:
    """What it is trained on. The lengths of texts, and how many examples lie on the device, differ
    from task to task; a joint cell has as many sets of them as tasks."""

    backbone: str
    scale: str
    track: str
    tasks: frozenset[str]
    batch_size: int | None
    max_length: int | None

    def covers(self, other: "Examples") -> bool:
        """Whether the other ones take no more memory in the same network."""
        return self.tasks >= other.tasks and self == replace(other, tasks=self.tasks)


Kind = tuple[Network, Examples]


class GpuMemory:
    """The memory that is free when a run starts, and the peaks measured so far.

    A cell is as large as the largest measured one of the same network on the same tasks or more.
    If there is none, it is taken to be as large as any of its method on other tasks and of other
    methods on its tasks; a cell of a method or on tasks that were never measured runs alone, as
    does one of a kind that ran out of memory.
    """

    def __init__(self, free_bytes: int, finished: Iterable[Result] = ()) -> None:
        self.free_bytes = free_bytes
        self._peaks: dict[Kind, int] = {}
        for result in finished:
            self.learn(result)

    def learn(self, result: Result) -> None:
        """Take the peak of a finished cell into account, if it was measured on a GPU."""
        on_gpu = result.environment is not None and result.environment.device.startswith("cuda")
        kind = _kind(result.cell, result.recipe)
        if result.status == "oom":
            self._peaks[kind] = self.free_bytes
        elif result.status == "ok" and on_gpu:
            self._peaks[kind] = max(self._peaks.get(kind, 0), result.peak_memory_bytes)

    def admits(self, cell: Cell, running: Sequence[Cell], processes: int = 0) -> bool:
        """Whether `cell` may start beside the cells that are running; `processes` more have
        nothing to do, but hold a context."""
        if not running:
            return True
        peaks = [self._peak(_kind(each.key, each.recipe)) for each in (cell, *running)]
        measured = [peak + PROCESS_BYTES for peak in peaks if peak is not None]
        needed = sum(measured) + PROCESS_BYTES * processes
        return len(measured) == len(peaks) and needed <= self.free_bytes

    def at_a_time(self, cell: Cell) -> int:
        """How many cells like this one fit, each in a process of its own; 1 if that is not known
        of any."""
        peak = self._peak(_kind(cell.key, cell.recipe))
        if peak is None:
            return 1
        return max(1, int(self.free_bytes // (peak + PROCESS_BYTES)))

    def _peak(self, kind: Kind) -> int | None:
        network, examples = kind
        own = [(have, peak) for (same, have), peak in self._peaks.items() if same == network]
        known = [peak for have, peak in own if have.covers(examples)]
        if known:
            return min(known)
        on_these = [peak for (_, have), peak in self._peaks.items() if have.covers(examples)]
        return max(*(peak for _, peak in own), *on_these) if own and on_these else None


def measured_before(plan: Plan, out: Path) -> list[Result]:
    """A result of every kind of cell that the plan has and that need not run."""
    lookup = Lookup(out, Result)
    found: dict[Kind, Result] = {}
    for item in plan.with_action("cached"):
        kind = _kind(item.cell.key, item.cell.recipe)
        with contextlib.suppress(NoResult):  # its head alone is one
            if kind not in found and (result := lookup.get(item.cell.key)):
                found[kind] = result
    return [*found.values()]


def _kind(key: CellKey, recipe: Recipe | None) -> Kind:
    batch_size = None if recipe is None else recipe.batch_size
    length = None if recipe is None else recipe.max_length
    tasks = frozenset(key.tasks)
    return (
        Network(key.method, key.setting, key.backbone, key.scale, batch_size),
        Examples(key.backbone, key.scale, key.track, tasks, batch_size, length),
    )
