"""Results -> leaderboards: cells become rows, rows are estimated, judged and ranked."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.errors import UserError
from suite.leaderboards.board import Board, Row, TaskColumn
from suite.leaderboards.rows import Usual, is_joint, listed, make_row
from suite.registry.schema import Scale, TrackEntry
from suite.results.metrics import contribution
from suite.results.records import Result
from suite.results.resampling import resampled_scores
from suite.results.statistics import Estimate, rank_groups, total

if TYPE_CHECKING:
    from suite.registry import Registry


def boards(results: Iterable[Result], registry: "Registry") -> list[Board]:
    """Every leaderboard of these results and of the registry's published rows, sorted by name.

    Raises `UserError` if a result belongs to a track that the registry does not have.
    """
    by_board: dict[tuple[str, str, Scale], list[Result]] = defaultdict(list)
    for result in results:
        cell = result.cell
        if cell.track not in registry.tracks:
            raise UserError(
                f"result {cell.label}: the registry has no track '{cell.track}' "
                f"(it has: {', '.join(sorted(registry.tracks))}); bring the track back, or move "
                f"results/{cell.file_name} away"
            )
        by_board[cell.track, cell.backbone, cell.scale].append(result)
    for track in registry.tracks.values():
        for row in track.published:
            entry = registry.backbones.get(row.backbone)
            by_board.setdefault((track.name, row.backbone, entry.scale if entry else "full"), [])
    return [
        board(registry.tracks[track], backbone, scale, cells, registry)
        for (track, backbone, scale), cells in sorted(by_board.items(), key=lambda item: item[0])
    ]


def boards_of_tasks_run(results: Sequence[Result], registry: "Registry") -> list[Board]:
    """Boards of these results alone, over the tasks that were run, in the order of the track."""
    by_board: dict[tuple[str, str, Scale], list[Result]] = defaultdict(list)
    for result in results:
        by_board[result.cell.track, result.cell.backbone, result.cell.scale].append(result)
    found = []
    for (name, backbone, scale), cells in sorted(by_board.items(), key=lambda item: item[0]):
        run = {task for result in cells for task in result.cell.tasks}
        track = registry.tracks[name]
        only = track.model_copy(update={"tasks": tuple(t for t in track.tasks if t in run)})
        found.append(board(only, backbone, scale, cells, registry))
    return found


def board(
    track: TrackEntry,
    backbone: str,
    scale: Scale,
    results: Sequence[Result],
    registry: "Registry",
) -> Board:
    """The leaderboard of one (track, backbone, scale) from its results."""
    results = sorted(
        (r for r in results if not set(track.tasks).isdisjoint(r.cell.tasks)),
        key=lambda r: (r.cell.method, r.cell.tasks, r.cell.seed),
    )
    refused = _refused(results)
    tried = [r for r in results if r.cell.method not in refused]
    usual = Usual(tried)
    rows = [
        make_row(track, cells, registry.methods.get(cells[0].cell.method), usual)
        for cells in _by_row(tried, registry)
    ]
    rows = _same_seeds(_estimated(track, rows))
    comparable = [row for row in rows if row.estimate and not row.objections]
    groups = rank_groups([row.estimate for row in comparable if row.estimate])
    ranked = [replace(row, group=group) for row, group in zip(comparable, groups, strict=True)]
    solved = [score for r in tried for score in r.scores]
    return Board(
        track=track,
        backbone=backbone,
        backbone_entry=registry.backbones.get(backbone),
        scale=scale,
        ranked=tuple(sorted(ranked, key=lambda row: (row.group, -row.score, row.label))),
        unranked=tuple(row for row in rows if row.objections),
        unsupported=refused,
        failures=tuple(r for r in tried if r.status != "ok"),
        published=tuple(row for row in track.published if row.backbone == backbone),
        data_notes={s.task: s.data for s in solved if s.data},
        metrics={s.task: tuple(s.metrics) for s in solved},
        backbone_parameters=max((r.backbone_parameters for r in tried), default=0),
        environments=tuple(r.environment for r in tried if r.environment),
    )


def _refused(results: Sequence[Result]) -> dict[str, str]:
    """Methods whose every cell is unsupported, with the reason they gave."""
    by_method: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_method[result.cell.method].append(result)
    return {
        method: cells[0].reason
        for method, cells in sorted(by_method.items())
        if all(cell.status == "unsupported" for cell in cells)
    }


def _by_row(results: Sequence[Result], registry: "Registry") -> list[list[Result]]:
    """A per-task method's cells are one row; a joint method has one row per set of tasks."""
    rows: dict[tuple[str, tuple[str, ...]], list[Result]] = defaultdict(list)
    for result in results:
        joint = is_joint(result, registry.methods.get(result.cell.method))
        rows[result.cell.method, result.cell.tasks if joint else ()].append(result)
    return list(rows.values())


def _estimated(track: TrackEntry, rows: Sequence[Row]) -> list[Row]:
    """Rows with estimates; all rows with the same test examples are resampled at once."""
    columns: list[dict[str, TaskColumn]] = [dict(row.tasks) for row in rows]
    parts: list[list[Estimate]] = [[] for _ in rows]
    for task in track.tasks:
        for members in _same_examples(task, rows):
            runs = [score for i in members for score in rows[i].tasks[task].scores]
            resampled = resampled_scores(
                task,
                tuple(runs[0].metrics),  # type: ignore[arg-type]
                np.array([score.predictions for score in runs]),
                np.array(runs[0].targets),
            )
            ends = np.cumsum([len(rows[i].seeds) for i in members])
            for i, own in zip(members, np.split(resampled, ends[:-1], axis=1), strict=True):
                by_seed = np.array([[score.score for score in rows[i].tasks[task].scores]])
                columns[i][task] = replace(
                    columns[i][task], estimate=Estimate(by_seed, own.mean(axis=1))
                )
                points = np.asarray(contribution(track, task, own)).mean(axis=1)
                parts[i].append(Estimate(np.asarray(contribution(track, task, by_seed)), points))
    estimated = []
    for row, column, part in zip(rows, columns, parts, strict=True):
        whole = total(part, trained_together=row.joint) if len(part) == len(column) else None
        estimated.append(replace(row, tasks=column, estimate=whole))
    return estimated


def _same_examples(task: str, rows: Sequence[Row]) -> list[list[int]]:
    """The rows that solved the task, by the test examples and metrics they were scored with."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if scores := row.tasks[task].scores:
            groups[scores[0].targets, tuple(scores[0].metrics)].append(i)
    return list(groups.values())


def _same_seeds(rows: Sequence[Row]) -> list[Row]:
    """Object to rows whose seeds are not those of most rows; of equals, the larger set counts."""
    votes = Counter(row.seeds for row in rows if not row.objections)
    usual = max(votes, key=lambda seeds: (votes[seeds], len(seeds), seeds), default=())
    return [
        row
        if row.objections or row.seeds == usual
        else replace(
            row, objections=(f"seeds {listed(row.seeds)}; most rows have {listed(usual)}",)
        )
        for row in rows
    ]
