"""Progress on stderr: a live bar on a terminal, plain lines everywhere else."""

import sys
import time
from typing import TYPE_CHECKING

from suite.console import say
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


def time_left(elapsed: float, done: int, cells: int) -> str:
    """`about 3 min left`, if the others take as long as those that are done; `elapsed` in seconds.

    Empty before the first cell is done and after the last.
    """
    if not 0 < done < cells:
        return ""
    seconds = elapsed / done * (cells - done)
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = seconds / 60
    return f"about {minutes:.0f} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"


class Progress:
    """Plain lines, one for each finished cell."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.done = 0
        self.began = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def started(self, cell: Cell) -> None:
        """A worker has taken the cell."""

    def preparing(self, cell: Cell, what: str) -> None:
        """The cell waits for `what` before its first step."""

    def continued(self, cell: Cell, step: int) -> None:
        """The cell goes on from a checkpoint."""
        self.note(f"{describe(cell.key)}: continues at step {step}")

    def stepped(self, cell: Cell, step: int, steps: int) -> None:
        """The cell has done `step` of `steps` optimizer steps."""

    def again(self, cell: Cell, why: str) -> None:
        """The cell will be started once more."""
        self.note(f"{describe(cell.key)}: {why}")

    def note(self, text: str) -> None:
        """Something that a reader of the log wants to know."""
        self._print(text)

    def finished_elsewhere(self, cells: int) -> None:
        """Other processes have finished so many of the cells."""
        self.done += cells

    def finished(self, result: Result) -> None:
        """The cell is over."""
        self.done += 1
        parts = [f"[{self.done}/{self.cells}] {describe(result.cell)}", outcome(result), self.left]
        self._print("  ".join(part for part in parts if part))

    @property
    def left(self) -> str:
        """How long the other cells will take."""
        return time_left(time.monotonic() - self.began, self.done, self.cells)

    def _print(self, line: str) -> None:
        say(line)


class LiveProgress(Progress):
    """A bar for the whole run and one for every running cell; finished cells scroll by above."""

    def __init__(self, cells: int) -> None:
        super().__init__(cells)
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self.overall = self.bars.add_task("cells", total=cells, state=self._state)
        self.running: dict[CellKey, TaskID] = {}

    def __enter__(self) -> "LiveProgress":
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def started(self, cell: Cell) -> None:
        """Give the cell a bar of its own."""
        self.running[cell.key] = self.bars.add_task(
            describe(cell.key), total=None, state="starting"
        )

    def preparing(self, cell: Cell, what: str) -> None:
        """Say beside the cell's bar what it waits for."""
        self.bars.update(self.running[cell.key], state=what)

    def stepped(self, cell: Cell, step: int, steps: int) -> None:
        """Move the cell's bar."""
        state = f"step {step} of {steps}"
        self.bars.update(self.running[cell.key], completed=step, total=steps, state=state)

    def again(self, cell: Cell, why: str) -> None:
        """Retire the cell's bar."""
        super().again(cell, why)
        self._retire(cell.key)

    def finished_elsewhere(self, cells: int) -> None:
        """Count the cells."""
        super().finished_elsewhere(cells)
        self.bars.update(self.overall, completed=self.done, state=self._state)

    def finished(self, result: Result) -> None:
        """Retire the cell's bar and count it."""
        super().finished(result)
        self._retire(result.cell)
        self.bars.update(self.overall, completed=self.done, state=self._state)

    def _retire(self, key: CellKey) -> None:
        # A cell that is computed elsewhere may be over before anybody has said that it started.
        if (bar := self.running.pop(key, None)) is not None:
            self.bars.remove_task(bar)

    @property
    def _state(self) -> str:
        said = f"{self.done} of {self.cells}"
        return f"{said}, {self.left}" if self.left else said

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
