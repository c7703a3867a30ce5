"""The results of one method on one board -> its part of the board: rows, estimated on their own.

A part depends on nothing but the results of its method, so that it can be kept when others change
(`suite.leaderboards.cached_parts`). What rows mean for each other, as ranks do, is decided when
parts are put together (`suite.leaderboards.aggregate`).
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.errors import UserError
from suite.leaderboards.board import Machine, Row, RunScore, TaskColumn
from suite.leaderboards.rows import (
    Evidence,
    evidence_of,
    is_joint,
    make_row,
    seeds_of,
    setting_name,
    solved,
)
from suite.registry.schema import MethodEntry, Scale, TrackEntry
from suite.results.packs import FOLDER, pack_name
from suite.results.records import Answer, Carried, CellKey, Result, TaskScore
from suite.results.resampling import best_constant, resampled_scores
from suite.results.scores import contribution
from suite.results.statistics import Estimate, total

if TYPE_CHECKING:
    from suite.registry import Registry

Scores = Mapping[str, tuple[TaskScore, ...]]
"""Task -> the scores of a row, one for each seed; tasks without a score are absent."""


@dataclass(frozen=True)
class Part:
    """What the results of one method bring to one board."""

    track: str
    backbone: str
    scale: Scale
    method: str
    refusal: str = ""
    """Why this family cannot have the method; then there is nothing else."""
    rows: tuple[tuple[Row, Evidence], ...] = ()
    """Estimated by themselves, and without the method's entry in the registry."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Task -> the best score that one fixed answer reaches on its test examples."""
    failures: tuple[Result, ...] = ()
    data_notes: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    machines: tuple[Machine, ...] = ()
    carried: tuple[Carried, ...] = ()
    backbone_parameters: int = 0


def parts(results: Iterable[Result], registry: "Registry") -> list[Part]:
    """The parts of all methods and boards that these results belong to.

    Results that have no task of their track as it is now are left out. Raises `UserError` if one
    belongs to a track that the registry does not have.
    """
    groups: dict[tuple[str, str, Scale, str], list[Result]] = defaultdict(list)
    for result in results:
        cell = result.cell
        if not set(track_of(cell, registry).tasks).isdisjoint(cell.tasks):
            groups[cell.track, cell.backbone, cell.scale, cell.method].append(result)
    return [
        part(registry.tracks[track], own, registry.methods.get(method))
        for (track, _, _, method), own in groups.items()
    ]


def track_of(cell: CellKey, registry: "Registry") -> TrackEntry:
    """The track of a cell. Raises `UserError` if the registry does not have it."""
    if cell.track in registry.tracks:
        return registry.tracks[cell.track]
    raise UserError(
        f"result {cell.label}: the registry has no track '{cell.track}' "
        f"(it has: {', '.join(sorted(registry.tracks))}); bring the track back, or remove "
        f"results/{cell.file_name}, or its line in {FOLDER}/{pack_name(cell.model_dump())}"
    )


def part(track: TrackEntry, results: Sequence[Result], entry: MethodEntry | None) -> Part:
    """The part of one method's results on one board."""
    results = sorted(results, key=lambda r: (r.cell.tasks, r.cell.seed))
    cell = results[0].cell
    of_board = Part(cell.track, cell.backbone, cell.scale, cell.method)
    if all(result.status == "unsupported" for result in results):
        return replace(of_board, refusal=results[0].reason)
    of_rows = _by_row(results, entry)
    scores: list[Scores] = []
    columns: list[dict[str, TaskColumn]] = []
    for cells in of_rows:
        found = {task: solved(task, cells, seeds_of(cells)) for task in track.tasks}
        scores.append({task: own for task, (own, _) in found.items() if own})
        columns.append({task: _column(own, missing) for task, (own, missing) in found.items()})
    rows = [
        make_row(track, cells, column, entry)
        for cells, column in zip(of_rows, columns, strict=True)
    ]
    every = [score for result in results for score in result.scores]
    where = (result.environment for result in results)
    return replace(
        of_board,
        rows=tuple(
            (replace(row, entry=None), evidence_of(cells))
            for row, cells in zip(_estimated(track, rows, scores), of_rows, strict=True)
        ),
        constants=_constants(scores),
        failures=tuple(r for r in results if r.status != "ok"),
        data_notes={score.task: score.data for score in every if score.data},
        metrics={score.task: tuple(score.metrics) for score in every},
        machines=tuple({Machine(e.hardware, tuple(e.versions.items())): None for e in where if e}),
        carried=tuple(r.carried for r in results if r.carried),
        backbone_parameters=max(r.backbone_parameters for r in results),
    )


def _column(scores: Sequence[TaskScore], missing: str) -> TaskColumn:
    return TaskColumn(tuple(RunScore(each.score, each.metrics) for each in scores), None, missing)


def _by_row(results: Sequence[Result], entry: MethodEntry | None) -> list[list[Result]]:
    """A setting of a per-task method is one row; of a joint one, one row per set of tasks."""
    rows: dict[tuple[str, tuple[str, ...]], list[Result]] = defaultdict(list)
    for result in results:
        tasks = result.cell.tasks if is_joint(result, entry) else ()
        rows[setting_name(result, entry), tasks].append(result)
    return list(rows.values())


def _estimated(track: TrackEntry, rows: Sequence[Row], scores: Sequence[Scores]) -> list[Row]:
    """Rows with estimates; those with the same test examples are resampled at once."""
    columns: list[dict[str, TaskColumn]] = [dict(row.tasks) for row in rows]
    points: list[list[Estimate]] = [[] for _ in rows]
    for task in track.tasks:
        for members in _same_examples(task, scores):
            runs = [score for i in members for score in scores[i][task]]
            resampled = resampled_scores(
                task,
                tuple(runs[0].metrics),
                np.array([score.predictions for score in runs]),
                np.array(runs[0].targets),
            )
            ends = np.cumsum([len(rows[i].seeds) for i in members])
            for i, own in zip(members, np.split(resampled, ends[:-1], axis=1), strict=True):
                by_seed = np.array([[score.score for score in scores[i][task]]])
                columns[i][task] = replace(
                    columns[i][task], estimate=Estimate(by_seed, own.mean(axis=1))
                )
                # Points are taken of every resample, not of the mean: a track's score need not be
                # linear in its tasks' (the Decathlon's is a power).
                mean = np.asarray(contribution(track, task, own)).mean(axis=1)
                points[i].append(Estimate(np.asarray(contribution(track, task, by_seed)), mean))
    estimated = []
    for row, column, of_tasks in zip(rows, columns, points, strict=True):
        complete = len(of_tasks) == len(column)
        whole = total(of_tasks, trained_together=row.together) if complete else None
        estimated.append(replace(row, tasks=column, estimate=whole))
    return estimated


def _same_examples(task: str, scores: Sequence[Scores]) -> list[list[int]]:
    """The rows that solved the task, by the test examples and metrics they were scored with."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, of_row in enumerate(scores):
        if own := of_row.get(task):
            groups[own[0].targets, tuple(own[0].metrics)].append(i)
    return list(groups.values())


def _constants(scores: Sequence[Scores]) -> dict[str, float]:
    """Of each task, as the first row that solved it was asked."""
    found: dict[str, float] = {}
    for of_row in scores:
        for task, (first, *_) in of_row.items():
            if task not in found:
                form = np.array([first.predictions]).shape
                found[task] = _constant(tuple(first.metrics), form, first.targets)
    return found


@functools.lru_cache(maxsize=64)
def _constant(
    metrics: tuple[str, ...], form: tuple[int, ...], targets: tuple[Answer, ...]
) -> float:
    """All methods on a task have the same test examples."""
    return best_constant(metrics, np.zeros(form), np.array(targets))
