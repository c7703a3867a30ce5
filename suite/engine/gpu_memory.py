"""Which cells fit into the memory of one GPU side by side, judged by the peaks of earlier cells."""

from collections.abc import Iterable, Sequence

from suite.planning.cells import Cell
from suite.registry.schema import Recipe
from suite.results.records import CellKey, Result

PROCESS_BYTES = 700 * 2**20
"""Memory of a process beside its tensors: CUDA context, libraries, workspaces."""
RESERVED = 1.25
"""Memory that PyTorch's allocator reserves, over the peak of what it has allocated."""

Kind = tuple[str, str, str, int | None]


class GpuMemory:
    """The memory that is free when a run starts, and the peaks measured so far.

    Cells of one method on one backbone with one batch size count as one kind. A cell of a kind that
    was never measured runs alone, as does a cell of a kind that ran out of memory.
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

    def admits(self, cell: Cell, running: Sequence[Cell]) -> bool:
        """Whether `cell` may start beside the cells that are running."""
        if not running:
            return True
        peaks = [self._peaks.get(_kind(each.key, each.recipe)) for each in (cell, *running)]
        measured = [peak * RESERVED + PROCESS_BYTES for peak in peaks if peak is not None]
        return len(measured) == len(peaks) and sum(measured) <= self.free_bytes


def _kind(key: CellKey, recipe: Recipe | None) -> Kind:
    batch_size = None if recipe is None else recipe.batch_size
    return key.method, key.backbone, key.scale, batch_size
