"""The table that a run prints when it ends, and the same as records for machines."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from suite.console import table
from suite.leaderboards import formats
from suite.leaderboards.aggregate import boards
from suite.leaderboards.board import Board, Row
from suite.leaderboards.parts import track_of
from suite.leaderboards.ranking import unknown_noise
from suite.registry.schema import Scale
from suite.results.noise import published
from suite.results.records import Result

if TYPE_CHECKING:
    from suite.registry import Registry


class Summary(BaseModel):
    """One method of a run on one backbone; None is what is not known.

    `score` with its 95 % interval `low` to `high` is over the tasks that were run, `tasks` gives
    each task's own. `rank_low` to `rank_high` is the 95 % interval of the true rank; if a method is
    `perhaps_best`, the best score is not significantly higher than its own, and not only because
    its runs differ so much. `reason` says why there is no score, or why it cannot be compared.
    """

    model_config = ConfigDict(frozen=True)

    track: str
    backbone: str
    scale: str
    method: str
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    perhaps_best: bool | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    tasks: Mapping[str, float | None] = {}
    seeds: int = 0
    stored_x: float | None = None
    total_x: float | None = None
    per_task_percent: float | None = None
    tensor_bytes: float | None = None
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
        summary = partial(
            Summary, track=shown.track.name, backbone=shown.backbone, scale=shown.scale
        )
        found += [_summary(row, summary) for row in shown.rows]
        found += [
            summary(method=method, reason=f"unsupported: {reason}")
            for method, reason in shown.unsupported.items()
        ]
    return found


def _summary(row: Row, summary: Callable[..., Summary]) -> Summary:
    low, high = (row.estimate.interval() if row.estimate else None) or (None, None)
    cost, rank = row.cost, row.rank
    return summary(
        method=row.label,
        rank=rank.place if rank else None,
        rank_low=rank.low if rank else None,
        rank_high=rank.high if rank else None,
        perhaps_best=row.perhaps_best if rank else None,
        score=row.estimate.score if row.estimate else None,
        low=low,
        high=high,
        tasks={t: c.estimate.score if c.estimate else None for t, c in row.tasks.items()},
        seeds=len(row.seeds),
        stored_x=cost.stored_x if cost else None,
        total_x=cost.total_x if cost else None,
        per_task_percent=100 * cost.per_task if cost else None,
        tensor_bytes=cost.tensor_bytes if cost else None,
        reason=row.why_unranked,
    )


def boards_of_tasks_run(results: Sequence[Result], registry: "Registry") -> list[Board]:
    """Boards over the tasks that were run, in the order of the track."""
    groups: dict[tuple[str, str, Scale], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.cell.track, result.cell.backbone, result.cell.scale].append(result)
    found = []
    for (name, _, _), own in sorted(groups.items(), key=lambda item: item[0]):
        run = {task for result in own for task in result.cell.tasks}
        track = track_of(own[0].cell, registry)
        tasks = tuple(task for task in track.tasks if task in run)
        only = track.model_copy(update={"tasks": tasks, "published": ()})
        found += boards(own, replace(registry, tracks={name: only}), published())
    return found


def _table(board: Board, registry: "Registry") -> str:
    tasks = board.track.tasks
    whole = len(registry.tracks[board.track.name].tasks)
    over = "" if len(tasks) == whole else f", score over {len(tasks)} of its {whole} tasks"
    lines = [f"{board.track.name} on {board.backbone} ({board.scale}{over})"]
    if board.rows:
        header = ["rank", "method", "score", *tasks, "stored", "total", "MB", "seeds"]
        lines.append(table(header, [_cells(row, tasks) for row in board.rows]))
        lines += _certainty(board)
    lines += [f"{row.label}: {row.why_unranked}" for row in board.unranked]
    lines += [f"{method}: unsupported: {why}" for method, why in board.unsupported.items()]
    return "\n".join(lines)


def _certainty(board: Board) -> list[str]:
    """One line on how far the order of the table can be trusted."""
    estimates = [row.estimate for row in board.ranked if row.estimate]
    if kind := unknown_noise(board):
        return [
            f"single runs, and nothing is known of how {kind} vary: no ranks; give more --seeds"
        ]
    if not estimates:
        return []
    single = any(estimate.seeds < 2 for estimate in estimates)
    noise = "single runs, their variance from the published board; " if single else ""
    unsure = any(row.mark == "?" for row in board.ranked)
    told = "; ?: its runs differ too much to tell" if unsure else ""
    return [f"{noise}rank with its 95 % interval; =: not told apart from the best{told}"]


def _cells(row: Row, tasks: Sequence[str]) -> list[str]:
    found = [
        f"{column.estimate.score:.1f}" if column.estimate else column.missing
        for column in (row.tasks[task] for task in tasks)
    ]
    cost = [formats.NONE] * 3
    if row.cost:
        cost = [
            formats.stored(row.cost.stored_x),
            formats.multiple(row.cost.total_x),
            formats.size(row.cost.tensor_bytes),
        ]
    return [
        f"{formats.rank(row)} {row.mark}".rstrip(),
        row.label,
        formats.score(row),
        *found,
        *cost,
        str(len(row.seeds)),
    ]
