"""The table that a run prints when it ends, and the same as records for machines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from suite.console import table
from suite.leaderboards import formats
from suite.leaderboards.aggregate import boards_of_tasks_run
from suite.leaderboards.board import Board, Row
from suite.results.records import Result

if TYPE_CHECKING:
    from suite.registry import Registry


class Summary(BaseModel):
    """One method of a run on one backbone; None is what is not known.

    `score` with its 95 % interval `low` to `high` is over the tasks that were run, `tasks` gives
    each task's own. `reason` says why there is no score, or why it compares with no other.
    """

    model_config = ConfigDict(frozen=True)

    track: str
    backbone: str
    scale: str
    method: str
    rank_group: int | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    tasks: Mapping[str, float | None] = {}
    seeds: int = 0
    total_x: float | None = None
    per_task_percent: float | None = None
    stored_bytes: float | None = None
    train_seconds: float | None = None
    reason: str = ""


def render(results: Sequence[Result], registry: "Registry") -> str:
    """An aligned plain-text table per (track, backbone, scale) of these results.

    Scores are over the tasks that were run, and the heading says so where that is not the whole
    track; a method without a score for one of them shows `5/6 tasks` instead.
    """
    return "\n\n".join(_table(board, registry) for board in boards_of_tasks_run(results, registry))


def summaries(results: Sequence[Result], registry: "Registry") -> list[Summary]:
    """The rows of `render`, as numbers."""
    found = []
    for shown in boards_of_tasks_run(results, registry):
        place = {"track": shown.track.name, "backbone": shown.backbone, "scale": shown.scale}
        found += [_summary(row, place) for row in shown.rows]
        found += [
            Summary(**place, method=method, reason=f"unsupported: {reason}")
            for method, reason in shown.unsupported.items()
        ]
    return found


def _summary(row: Row, place: Mapping[str, str]) -> Summary:
    low, high = row.estimate.interval() if row.estimate else (None, None)
    cost = row.cost
    return Summary(
        **place,
        method=row.label,
        rank_group=row.group,
        score=row.estimate.score if row.estimate else None,
        low=low,
        high=high,
        tasks={t: c.estimate.score if c.estimate else None for t, c in row.tasks.items()},
        seeds=len(row.seeds),
        total_x=cost.total_x if cost else None,
        per_task_percent=100 * cost.per_task if cost else None,
        stored_bytes=cost.stored_bytes if cost else None,
        train_seconds=cost.train_seconds if cost else None,
        reason="; ".join(row.objections),
    )


def _table(board: Board, registry: "Registry") -> str:
    tasks = board.track.tasks
    whole = len(registry.tracks[board.track.name].tasks)
    over = "" if len(tasks) == whole else f", score over {len(tasks)} of its {whole} tasks"
    lines = [f"{board.track.name} on {board.backbone} ({board.scale}{over})"]
    if board.rows:
        header = ["group", "method", "score", *tasks, "total", "stored MB", "train", "seeds"]
        lines.append(table(header, [_cells(row, tasks) for row in board.rows]))
    lines += [f"{row.label}: {'; '.join(row.objections)}" for row in board.unranked]
    lines += [f"{method}: unsupported: {why}" for method, why in board.unsupported.items()]
    return "\n".join(lines)


def _cells(row: Row, tasks: Sequence[str]) -> list[str]:
    found = [
        f"{column.estimate.score:.1f}" if column.estimate else column.missing
        for column in (row.tasks[task] for task in tasks)
    ]
    cost = [formats.NONE] * 3
    if row.cost:
        cost = [
            formats.multiple(row.cost.total_x),
            formats.size(row.cost.stored_bytes),
            formats.duration(row.cost.train_seconds),
        ]
    rank = str(row.group) if row.group else formats.NONE
    return [rank, row.label, formats.score(row), *found, *cost, str(len(row.seeds))]
