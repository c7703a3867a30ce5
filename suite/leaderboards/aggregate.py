"""Results -> leaderboards: cells become rows, rows are estimated, judged and ranked."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.errors import UserError
from suite.leaderboards.board import Board, Row, TaskColumn
from suite.leaderboards.papers import paper_orders
from suite.leaderboards.rows import Usual, is_joint, listed, make_row, setting_name
from suite.registry.schema import Scale, Store, TrackEntry
from suite.results.moderation import moderated
from suite.results.noise import Pool, Variance
from suite.results.packs import FOLDER, pack_name
from suite.results.ranks import ranks
from suite.results.records import CellKey, Result
from suite.results.resampling import best_constant, resampled_scores
from suite.results.scores import contribution
from suite.results.statistics import Estimate, RunNoise, total

if TYPE_CHECKING:
    from suite.registry import Registry


KINDS = (False, True)
"""Per-task rows and joint ones, whose runs vary differently."""


def boards(
    results: Iterable[Result], registry: "Registry", pools: Sequence[Pool] = ()
) -> list[Board]:
    """Every leaderboard of these results and of the registry's published rows, sorted by name.

    `pools` tell how runs vary where these results have one seed. Raises `UserError` if a result
    belongs to a track that the registry does not have.
    """
    by_board: dict[tuple[str, str, Scale], list[Result]] = defaultdict(list)
    for result in results:
        cell = result.cell
        by_board[track_of(cell, registry).name, cell.backbone, cell.scale].append(result)
    for track in registry.tracks.values():
        for row in track.published:
            entry = registry.backbones.get(row.backbone)
            scale = entry.scale if entry else Scale.FULL
            by_board.setdefault((track.name, row.backbone, scale), [])
    return [
        board(registry.tracks[track], backbone, scale, cells, registry, pools)
        for (track, backbone, scale), cells in sorted(by_board.items(), key=lambda item: item[0])
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


def board(
    track: TrackEntry,
    backbone: str,
    scale: Scale,
    results: Sequence[Result],
    registry: "Registry",
    pools: Sequence[Pool] = (),
) -> Board:
    """The leaderboard of one (track, backbone, scale) from its results."""
    results = sorted(
        (r for r in results if not set(track.tasks).isdisjoint(r.cell.tasks)),
        key=lambda r: (r.cell.method, r.cell.tasks, r.cell.seed),
    )
    # A method that this family cannot have is told once, not as a row of failures.
    refused = _refused(results)
    tried = [r for r in results if r.cell.method not in refused]
    usual = Usual(tried)
    rows = [
        make_row(track, cells, registry.methods.get(cells[0].cell.method), usual)
        for cells in _by_row(tried, registry)
    ]
    # Rows of other seeds are estimated all the same: their scores are shown, below the line.
    rows = _same_seeds(_estimated(track, rows))
    fitting = {
        pool.joint: pool
        for pool in pools
        if (pool.track, pool.backbone, pool.scale) == (track.name, backbone, scale)
        and pool.fits({t: usual.tasks[t] for t in track.tasks if t in usual.tasks}, usual.steps)
    }
    rows, noise = _moderated(track, rows, fitting)
    # The label breaks ties, so that a page does not depend on the order in which results came.
    comparable = sorted(
        (row for row in rows if row.estimate and not row.objections),
        key=lambda row: (-row.score, row.label),
    )
    solved = [score for r in tried for score in r.scores]
    constants = _constants(track, rows)
    ranked = _ranked(comparable)
    return Board(
        track=track,
        backbone=backbone,
        backbone_entry=registry.backbones.get(backbone),
        scale=scale,
        ranked=tuple(ranked),
        unranked=tuple(row for row in rows if row.objections),
        unsupported=refused,
        failures=tuple(r for r in tried if r.status != "ok"),
        published=tuple(row for row in track.published if row.backbone == backbone),
        orders=tuple(paper_orders(track, ranked, backbone, registry)),
        data_notes={s.task: s.data for s in solved if s.data},
        metrics={s.task: tuple(s.metrics) for s in solved},
        constants=constants,
        constant_score=(
            float(sum(contribution(track, task, constants[task]) for task in track.tasks))
            if constants.keys() >= set(track.tasks)
            else None
        ),
        noise=noise,
        data=usual.tasks,
        steps=usual.steps,
        backbone_parameters=max((r.backbone_parameters for r in tried), default=0),
        environments=tuple(r.environment for r in tried if r.environment),
        carried=tuple(r.carried for r in tried if r.carried),
    )


def pools_of(board: Board) -> list[Pool]:
    """The run noise that a board of several seeds shows."""
    found = []
    for joint in KINDS:
        ranked = [row for row in board.ranked if row.joint == joint]
        # One seed shows nothing of how runs vary; a pool is of boards that have several.
        members = [ranked[i] for i in sorted(set(_voters(ranked)))]
        if joint not in board.noise or not members or len(members[0].seeds) < 2:
            continue
        tasks = {}
        for task in board.track.tasks:
            columns = [row.tasks[task].estimate for row in members]
            _, noise = moderated([estimate for estimate in columns if estimate])
            if noise is not None:
                tasks[task] = Variance.of(noise)
        found.append(
            Pool(
                track=board.track.name,
                backbone=board.backbone,
                scale=board.scale,
                joint=joint,
                steps=board.steps,
                data=dict(board.data),
                tasks=tasks,
                whole=Variance.of(board.noise[joint]),
            )
        )
    return found


def _moderated(
    track: TrackEntry, rows: Sequence[Row], pools: Mapping[bool, Pool]
) -> tuple[list[Row], dict[bool, RunNoise]]:
    """The rows with the run noise of all ranked rows of their kind, or of a pool; and the noise of
    the track's score."""
    columns = [dict(row.tasks) for row in rows]
    whole = [row.estimate for row in rows]
    known: dict[bool, RunNoise] = {}
    voters = _voters(rows)
    for joint, pool in ((joint, pools.get(joint)) for joint in KINDS):
        members = [i for i, row in enumerate(rows) if row.joint == joint]
        judges = {i for i in members if voters[i] == i and _is_judge(rows[i])}
        # Each task has a noise of its own: a small test set or a metric such as Matthews'
        # correlation varies more. The whole is moderated apart, for it is not the sum of these.
        for task in track.tasks:
            given = {i: e for i in members if (e := columns[i][task].estimate)}
            start = pool.tasks[task].noise if pool and task in pool.tasks else None
            for i, estimate in _with_noise(given, judges, voters, start)[0].items():
                columns[i][task] = replace(columns[i][task], estimate=estimate)
        start = pool.of_mean(track.tasks) if pool and track.score == "mean" else None
        given = {i: e for i in members if (e := whole[i])}
        found, noise = _with_noise(given, judges, voters, start)
        for i, estimate in found.items():
            whole[i] = estimate
        if noise is not None:
            known[joint] = noise
    done = zip(rows, columns, whole, strict=True)
    return [replace(row, tasks=own, estimate=estimate) for row, own, estimate in done], known


def _is_judge(row: Row) -> bool:
    return row.estimate is not None and not row.objections


def _voters(rows: Sequence[Row]) -> list[int]:
    """Which row speaks for each row when it is asked how runs vary: one of those that are the same
    runs in several precisions, so that a training counts once."""
    speaker: dict[tuple[str, ...], int] = {}
    for i in sorted(range(len(rows)), key=lambda i: rows[i].store is not Store.FLOAT32):
        if _is_judge(rows[i]):
            speaker.setdefault(rows[i].training, i)
    return [speaker.get(row.training, i) for i, row in enumerate(rows)]


def _with_noise(
    given: Mapping[int, Estimate],
    judges: Collection[int],
    voters: Sequence[int],
    start: RunNoise | None,
) -> tuple[dict[int, Estimate], RunNoise | None]:
    """Estimates with the moderated noise of the judges; rows of the same runs take that of theirs,
    others the judges' common noise."""
    chosen = [i for i in given if i in judges]
    estimates, noise = moderated([given[i] for i in chosen], start)
    found = dict(zip(chosen, estimates, strict=True))
    for i, estimate in given.items():
        if i not in found:
            speaker = found.get(voters[i])
            found[i] = replace(estimate, noise=speaker.noise if speaker else noise)
    return found, noise


def _constants(track: TrackEntry, rows: Sequence[Row]) -> dict[str, float]:
    """The best score that one fixed answer reaches on each task's test examples."""
    best = {}
    for task in track.tasks:
        scores = next((row.tasks[task].scores for row in rows if row.tasks[task].scores), None)
        if not scores:
            continue
        answers, targets = np.array([scores[0].predictions]), np.array(scores[0].targets)
        best[task] = best_constant(tuple(scores[0].metrics), answers, targets)
    return best


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows with their ranks, if it is known how the runs of all of them vary."""
    estimates = [row.estimate for row in rows if row.estimate]
    # A rank is a claim about a difference: where one side's noise is unknown there is none.
    if any(estimate.run_noise is None for estimate in estimates):
        return list(rows)
    return [replace(row, rank=rank) for row, rank in zip(rows, ranks(estimates), strict=True)]


def _refused(results: Sequence[Result]) -> dict[str, str]:
    """Methods all of whose cells are unsupported, with the reason they gave."""
    by_method: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_method[result.cell.method].append(result)
    return {
        method: cells[0].reason
        for method, cells in sorted(by_method.items())
        if all(cell.status == "unsupported" for cell in cells)
    }


def _by_row(results: Sequence[Result], registry: "Registry") -> list[list[Result]]:
    """A setting of a per-task method is one row; of a joint one, one row per set of tasks."""
    rows: dict[tuple[str, tuple[str, ...]], list[Result]] = defaultdict(list)
    for result in results:
        entry = registry.methods.get(result.cell.method)
        tasks = result.cell.tasks if is_joint(result, entry) else ()
        rows[setting_name(result, entry), tasks].append(result)
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
                tuple(runs[0].metrics),
                np.array([score.predictions for score in runs]),
                np.array(runs[0].targets),
            )
            ends = np.cumsum([len(rows[i].seeds) for i in members])
            for i, own in zip(members, np.split(resampled, ends[:-1], axis=1), strict=True):
                by_seed = np.array([[score.score for score in rows[i].tasks[task].scores]])
                columns[i][task] = replace(
                    columns[i][task], estimate=Estimate(by_seed, own.mean(axis=1))
                )
                # Points are taken of every resample, not of the mean: a track's score need not be
                # linear in its tasks' (the Decathlon's is a power).
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
    """Object to rows whose seeds are not those of most rows; on a tie, the larger set counts."""
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
