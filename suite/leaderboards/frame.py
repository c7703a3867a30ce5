"""Results as tables of pandas."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from suite.console import shown
from suite.errors import UserError
from suite.leaderboards import export
from suite.leaderboards.front import pareto_front, points
from suite.leaderboards.rows import cost_of, is_joint, label
from suite.leaderboards.terminal import boards_of_tasks_run, render
from suite.planning.cells import Planned
from suite.registry.names import did_you_mean
from suite.registry.options import all_written
from suite.registry.schema import OptionValue
from suite.results.folder import delta_path
from suite.results.records import CellKey, Result, TaskScore
from suite.results.resampling import resampled_scores
from suite.results.statistics import Estimate, RunNoise, compare

if TYPE_CHECKING:
    import pandas as pd

    from suite.registry import Registry

Interval = tuple[float, float]
_THIS_RUN = RunNoise(variance=0.0, freedom=math.inf)
"""Noise of zero: the interval is that of the trained model itself, without other seeds."""
_WHOLE = (
    "shared_bits", "task_bits", "head_bits", "buffer_bits", "trained", "steps", "peak_memory_bytes",
)  # fmt: skip
_LISTED = 10
"""Failures that the short form of results names."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One task of one cell. Every field is a column of `Results.frame`; None means unknown.

    After `validation_score` there is one more column for each metric, in per cent.
    """

    method: str
    setting: str
    """The method with the options that differ from its defaults."""
    options: str
    """Every option, at its default or not: `rank=4, alpha=8`."""
    store: str
    """The precision in which what was learned is stored."""
    family: str | None
    backbone: str
    scale: str
    track: str
    task: str
    regime: str
    """`per_task` or `joint`; the lines of a joint cell share its stored bits, time and memory."""
    seed: int
    status: str
    """`ok`, `failed`, `oom`, `timeout`, `diverged`, `unsupported`; `missing` and `not run` for
    requested cells without a result."""
    reason: str = ""
    log: str | None = None
    """Of a cell without a score: the file with its output, if it still exists."""
    score: float | None = None
    """Mean of the task's metrics on its test split, in per cent."""
    low: float | None = None
    """`low` to `high`: the 95 % interval over test examples, for the model of this seed."""
    high: float | None = None
    validation_score: float | None = None
    stored_x: float | None = None
    """Bits of the cell's delta, in backbones: what is stored beside the frozen one."""
    total_x: float | None = None
    """The backbone and the cell's delta without heads and running statistics, in backbones."""
    shared_bits: int | None = None
    """Stored once for all tasks of the cell."""
    task_bits: int | None = None
    """The task's own, without its head."""
    head_bits: int | None = None
    """The task's head."""
    buffer_bits: int | None = None
    """Running statistics, of all tasks of the cell."""
    closed_form: bool | None = None
    """Whether the method states its cost in closed form, against which the file was checked."""
    trained: int | None = None
    """Parameters that received gradients."""
    steps: int | None = None
    train_seconds: float | None = None
    """By the clock."""
    processor_seconds: float | None = None
    """Processor time of the training, of all threads: what to compare methods by on a CPU."""
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    device: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    verified: bool | None = None
    """Whether the delta was submitted and scored again before the result was accepted."""
    delta: str | None = None
    """The saved file, if it still exists: see `suite.load_delta`."""


@dataclass(frozen=True, repr=False)
class Results:
    """Results of cells, one for each; iterating gives them as records (`suite.results.records`)."""

    cells: Sequence[Result]
    registry: "Registry"
    folder: Path
    """The output folder that holds their logs and deltas."""
    absent: Sequence[Planned] = ()
    """Requested cells without a result: data are missing, or a run ended early."""

    def __iter__(self) -> Iterator[Result]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __repr__(self) -> str:
        counts = Counter(result.status for result in self.cells)
        parts = [f"{count} {status}" for status, count in counts.items()]
        parts += [f"{len(self.absent)} without a result"] if self.absent else []
        lines = [f"{len(self.cells)} results in {shown(self.folder)}: {', '.join(parts) or 'none'}"]
        failed = [result for result in self.cells if result.failed]
        lines += [f"{r.cell.label}: {r.status}: {r.reason}" for r in failed[:_LISTED]]
        lines += [f"and {len(failed) - _LISTED} more"] if len(failed) > _LISTED else []
        return "\n".join(lines)

    def table(self) -> str:
        """The table that the command line prints: methods ranked on each track and backbone."""
        return render(self.cells, self.registry)

    def frame(self) -> "pd.DataFrame":
        """A tidy table with one row for every task of every cell; `Line` says what columns mean."""
        import pandas as pd

        intervals = _intervals(self.cells)
        lines, metrics = [], []
        for result in self.cells:
            scores = {score.task: score for score in result.scores}
            for task in result.cell.tasks:
                score = scores.get(task)
                lines.append(self._line(result, task, score, intervals.get((result.cell, task))))
                metrics.append(score.metrics if score else {})
        for item in self.absent:
            for task in item.cell.key.tasks:
                lines.append(self._absent_line(item, task))
                metrics.append({})
        names = [field.name for field in fields(Line)]
        values = [[getattr(line, name) for name in names] for line in lines]
        frame = pd.DataFrame(values, columns=names)
        # Whole numbers and truth values stay what they are beside rows that have none.
        frame = frame.astype(dict.fromkeys(_WHOLE, "Int64"))
        frame = frame.astype({"closed_form": "boolean", "dirty": "boolean", "verified": "boolean"})
        place = names.index("validation_score") + 1
        for number, metric in enumerate(dict.fromkeys(m for own in metrics for m in own)):
            frame.insert(place + number, metric, [own.get(metric) for own in metrics])
        return frame

    def rows(self) -> "pd.DataFrame":
        """The rows of the leaderboards of these results, over the tasks that were run: score with
        its 95 % interval, rank, bits; `suite.leaderboards.export.Line` says what columns mean."""
        return export.frame(boards_of_tasks_run(self.cells, self.registry))

    def compare(self, a: str, b: str) -> "pd.DataFrame":
        """The score of `a` less that of `b`, rows as `rows` calls them (`"lora[rank=4]"`), on every
        board that has both: difference in points with its 95 % interval `low` to `high`, `p`
        (two-sided, not corrected for other comparisons), and `detectable`, the true difference that
        such a comparison finds with 80 % power. Paired by test example. All but the difference are
        missing where it is not known how runs vary, as for single runs.

        Raises `UserError` if no board ranks both, with the reason where one stands below the line.
        """
        import pandas as pd

        lines, names = [], dict[str, str]()
        for board in boards_of_tasks_run(self.cells, self.registry):
            known = {row.label: row.estimate for row in board.ranked if row.estimate}
            names |= {row.label: row.why_unranked for row in board.rows}
            if a in known and b in known:
                place = (board.track.name, board.backbone, board.scale.value)
                lines.append((*place, *_compared(known[a], known[b])))
        if not lines:
            for name in (a, b):
                if name not in names:
                    raise UserError(f"no row is called '{name}'{did_you_mean(name, names)}")
                if names[name]:
                    raise UserError(f"{name} cannot be compared: {names[name]}")
            raise UserError(f"no board ranks both {a} and {b}")
        measures = ("difference", "low", "high", "p", "detectable")
        found = pd.DataFrame(lines, columns=("track", "backbone", "scale", *measures))
        return found.astype(dict.fromkeys(measures, "float64"))

    def pareto(self) -> "pd.DataFrame":
        """The Pareto fronts that the leaderboards draw: on each track, backbone and scale the
        methods that no other one beats at the same or a lower cost, by cost. A method without a
        result for every task and seed that the others have is not compared."""
        import pandas as pd

        columns = (
            "track", "backbone", "scale", "method", "score", "low", "high", "stored_x", "regime",
        )  # fmt: skip
        rows = []
        for board in boards_of_tasks_run(self.cells, self.registry):
            for point in pareto_front([p for p in points(board) if not p.published]):
                low, high = point.interval or (None, None)
                place = (board.track.name, board.backbone, board.scale.value)
                regime = "joint" if point.joint else "per_task"
                rows.append((*place, point.label, point.score, low, high, point.stored_x, regime))
        # Numbers even if no interval is known.
        return pd.DataFrame(rows, columns=columns).astype({"low": "float64", "high": "float64"})

    def _line(
        self, result: Result, task: str, score: TaskScore | None, interval: Interval | None
    ) -> Line:
        entry = self.registry.methods.get(result.cell.method)
        joint = is_joint(result, entry)
        line = replace(
            self._empty(result.cell, task, result.options, joint=joint),
            setting=label(result, entry, partial=False),
            status=result.status,
            reason=result.reason,
            log=str(log) if result.log and (log := self.folder / result.log).is_file() else None,
        )
        ledger, where = result.ledger, result.environment
        if score is None or ledger is None:
            return line
        cost = cost_of([result], 1, entry, joint=joint)
        low, high = interval or (None, None)
        delta = delta_path(self.folder, result.cell)
        return replace(
            line,
            score=score.score,
            low=low,
            high=high,
            validation_score=score.validation_score,
            stored_x=cost.stored_x,
            total_x=cost.total_x,
            shared_bits=ledger.shared_bits,
            task_bits=ledger.task_bits.get(task, 0),
            head_bits=ledger.head_bits.get(task, 0),
            buffer_bits=ledger.buffer_bits,
            closed_form=ledger.closed_form,
            trained=result.trained_parameters,
            steps=result.steps,
            train_seconds=result.train_seconds,
            processor_seconds=result.processor_seconds,
            seconds=result.total_seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            device=where.device if where else None,
            commit=where.commit if where else None,
            dirty=where.dirty if where else None,
            verified=result.verified is not None,
            delta=str(delta) if delta.is_file() else None,
        )

    def _absent_line(self, item: Planned, task: str) -> Line:
        key, missing = item.cell.key, item.action == "missing"
        entry = self.registry.methods.get(key.method)
        joint = entry is not None and entry.regime == "joint"
        return replace(
            self._empty(key, task, item.cell.options, joint=joint),
            status="missing" if missing else "not run",
            reason=item.reason if missing else "the run ended before it",
        )

    def _empty(
        self, cell: CellKey, task: str, options: Mapping[str, OptionValue], *, joint: bool
    ) -> Line:
        backbone = self.registry.backbones.get(cell.backbone)
        return Line(
            method=cell.method,
            setting=cell.method,
            options=all_written(options),
            store=cell.store.value,
            family=backbone.family if backbone else None,
            backbone=cell.backbone,
            scale=cell.scale.value,
            track=cell.track,
            task=task,
            regime="joint" if joint else "per_task",
            seed=cell.seed,
            status="not run",
        )


def _compared(a: Estimate, b: Estimate) -> tuple[float | None, ...]:
    try:
        found = compare(a, b)
    except ValueError:
        return a.score - b.score, None, None, None, None
    return found.difference, found.low, found.high, found.p, found.detectable


def _intervals(results: Sequence[Result]) -> dict[tuple[CellKey, str], Interval]:
    """The interval of every score. All runs with the same test examples meet the same resamples
    of them, so they are resampled at once."""
    groups: dict[tuple[object, ...], list[tuple[CellKey, TaskScore]]] = defaultdict(list)
    for result in results:
        for score in result.scores:
            key = (score.task, tuple(score.metrics), score.targets)
            groups[key].append((result.cell, score))
    found = {}
    for members in groups.values():
        first = members[0][1]
        predictions = np.array([score.predictions for _, score in members])
        resampled = resampled_scores(
            first.task,
            tuple(first.metrics),
            predictions,
            np.array(first.targets),
        )
        for (cell, score), own in zip(members, resampled.T, strict=True):
            interval = Estimate(np.array([[score.score]]), own, _THIS_RUN).interval()
            if interval:
                found[cell, score.task] = interval
    return found
