"""Leaderboards as tables for other programs: a CSV file a board, or all of them in one file."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.errors import UserError
from suite.leaderboards import formats
from suite.leaderboards.board import Board, Cost, Row
from suite.registry.schema import PublishedRow

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "tables"
ENDINGS = (".csv", ".parquet")

_TYPES = {"int | None": "Int64", "float | None": "float64", "bool | None": "boolean"}

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a leaderboard. Every field is a column; None means unknown, or not counted.

    After the last one there is a column for the score of each task, in per cent.
    """

    track: str
    backbone: str
    scale: str
    family: str | None
    method: str
    """With the options that differ from its defaults."""
    setting: str | None = None
    """Every option, at its default or not."""
    status: str
    """`ranked`, `below the line`, `published` or `published (unverified)`."""
    note: str
    """Why it is not ranked; the source of a published row."""
    regime: str | None = None
    score: float | None = None
    """Mean over tasks and seeds; empty unless every task has a score."""
    low: float | None = None
    """`low` to `high`: the 95 % interval over seeds and test examples."""
    high: float | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    perhaps_best: bool | None = None
    """Whether the best score is not significantly higher, and not only because runs differ so much
    that no difference would be found."""
    stored_x: float | None = None
    total_x: float | None = None
    shared_bits: int | None = None
    """Of all tasks together, as are the other bits; means over seeds."""
    task_bits: int | None = None
    head_bits: int | None = None
    buffer_bits: int | None = None
    trained: int | None = None
    """Parameters that received gradients, per task."""
    steps: int | None = None
    """Optimizer steps of all tasks of one seed."""
    seeds: str = ""


def table(board: Board) -> bytes:
    """The CSV file of a board, the same bytes for the same board."""
    rows = records([board])
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def records(boards: Sequence[Board]) -> list[dict[str, Value]]:
    """The rows of boards, all with the same keys: the fields of `Line`, then the tasks."""
    found = [line for board in boards for line in _lines(board)]
    tasks = dict.fromkeys(task for board in boards for task in board.track.tasks)
    return [
        {key: _short(value) for key, value in asdict(line).items()}
        | {task: _short(scores.get(task)) for task in tasks}
        for line, scores in found
    ]


def frame(boards: Sequence[Board]) -> "pd.DataFrame":
    """The rows of boards as a table of pandas."""
    import pandas as pd

    types = {field.name: _TYPES.get(str(field.type)) for field in fields(Line)}
    rows = records(boards)
    found = pd.DataFrame(rows, columns=[*(rows[0] if rows else types)])
    # Whole numbers and truth values stay what they are beside rows that have none.
    tasks = dict.fromkeys(found.columns.difference([*types]), "float64")
    return found.astype({name: kind for name, kind in types.items() if kind} | tasks)


def require_ending(path: Path) -> None:
    """Raise `UserError` for a file whose name does not say how to write it."""
    if path.suffix not in ENDINGS:
        raise UserError(f"--export {path}: the name must end in {' or '.join(ENDINGS)}")


def write(boards: Sequence[Board], path: Path) -> None:
    """Write all rows of all boards to one file, in the form that its ending names."""
    require_ending(path)
    made = frame(boards)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            made.to_csv(path, index=False, lineterminator="\n")
        else:
            made.to_parquet(path, index=False)
    except OSError as error:
        raise UserError(f"--export {path}: cannot be written ({error.strerror})") from None


def _lines(board: Board) -> Iterator[tuple[Line, dict[str, float]]]:
    """Every row of a board with its scores by task."""
    for row in board.rows:
        scores = {task: column.estimate for task, column in row.tasks.items()}
        yield _measured(row, board), {task: one.score for task, one in scores.items() if one}
    for published in board.published:
        yield _published(published, board), dict(published.scores)


def _measured(row: Row, board: Board) -> Line:
    estimate, cost, rank = row.estimate, row.cost, row.rank
    low, high = (estimate.interval() if estimate else None) or (None, None)
    return Line(
        **_place(board),
        **(_counts(cost, board) if cost else {}),
        method=row.label,
        setting=formats.settings(row),
        status="below the line" if row.objections else "ranked",
        note=row.why_unranked,
        regime="joint" if row.joint else "per_task",
        score=estimate.score if estimate else None,
        low=low,
        high=high,
        rank=rank.place if rank else None,
        rank_low=rank.low if rank else None,
        rank_high=rank.high if rank else None,
        perhaps_best=row.perhaps_best if rank else None,
        seeds=" ".join(map(str, row.seeds)),
    )


def _counts(cost: Cost, board: Board) -> dict[str, Any]:
    tasks, parameters = len(board.track.tasks), board.backbone_parameters

    def bits(backbones: float) -> int:
        return round(32 * parameters * backbones)

    return {
        "stored_x": cost.stored_x,
        "total_x": cost.total_x,
        "shared_bits": bits(cost.shared),
        "task_bits": bits(tasks * cost.per_task - cost.shared),
        "head_bits": bits(tasks * cost.head),
        "buffer_bits": bits(tasks * cost.buffers),
        "trained": round(parameters * cost.trained),
        "steps": round(cost.steps),
    }


def _published(row: PublishedRow, board: Board) -> Line:
    return Line(
        **_place(board),
        method=row.label,
        status="published" if row.verified else "published (unverified)",
        note=row.source,
        score=row.score,
        stored_x=row.stored_x,
        total_x=row.total_x,
    )


def _place(board: Board) -> dict[str, Any]:
    return {
        "track": board.track.name,
        "backbone": board.backbone,
        "scale": board.scale.value,
        "family": board.backbone_entry.family if board.backbone_entry else None,
    }


def _short(value: Value) -> Value:
    """Six significant digits, so that a processor's last bits do not show."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
