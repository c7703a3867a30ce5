"""Progress on stderr: a live bar on a terminal, plain lines everywhere else."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from suite.planning.cells import Cell
from suite.results.records import CellKey, Result

if TYPE_CHECKING:
    from rich.progress import TaskID


def describe(key: CellKey) -> str:
    """A cell as a reader names it: `taps  glue/rte  bert_mini  seed 0`."""
    tasks = key.tasks[0] if len(key.tasks) == 1 else f"{len(key.tasks)} tasks"
    return f"{key.name}  {key.track}/{tasks}  {key.backbone}  seed {key.seed}"


def outcome(result: Result) -> str:
    """The outcome of a cell, on one line."""
    if result.status != "ok":
        return f"{result.status}: {result.reason}"
    mean = sum(score.score for score in result.scores) / len(result.scores)
    return f"{mean:.1f}  ({result.total_seconds:.1f} s)"


class Progress:
    """Plain lines, one for each finished cell."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.done = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def started(self, cell: Cell) -> None:
        """A worker has taken the cell."""

    def stepped(self, cell: Cell, step: int, steps: int) -> None:
        """The cell has done `step` of `steps` optimizer steps."""

    def finished(self, result: Result) -> None:
        """The cell is over."""
        self.done += 1
        line = f"[{self.done}/{self.cells}] {describe(result.cell)}  {outcome(result)}"
        self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class LiveProgress(Progress):
    """A bar for the whole run and one for every running cell; finished cells scroll by above."""

    def __init__(self, cells: int) -> None:
        super().__init__(cells)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self.overall = self.bars.add_task("cells", total=cells)
        self.running: dict[CellKey, TaskID] = {}

    def __enter__(self) -> "LiveProgress":
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def started(self, cell: Cell) -> None:
        """Give the cell a bar of its own."""
        self.running[cell.key] = self.bars.add_task(describe(cell.key), total=None)

    def stepped(self, cell: Cell, step: int, steps: int) -> None:
        """Move the cell's bar."""
        self.bars.update(self.running[cell.key], completed=step, total=steps)

    def finished(self, result: Result) -> None:
        """Retire the cell's bar and count it."""
        super().finished(result)
        self.bars.remove_task(self.running.pop(result.cell))
        self.bars.advance(self.overall)

    def _print(self, line: str) -> None:
        self.bars.console.print(line, markup=False)


def make_progress(cells: int, quiet: bool = False) -> Progress:
    """The display that fits where stderr goes."""
    if quiet:
        return QuietProgress(cells)
    return LiveProgress(cells) if sys.stderr.isatty() else Progress(cells)


class QuietProgress(Progress):
    """A display that shows nothing."""

    def _print(self, line: str) -> None:
        pass
