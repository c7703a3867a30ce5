"""Results -> leaderboards: cells become rows of parts, parts a board whose rows are ranked."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from suite.leaderboards.board import Board, Objection, Row
from suite.leaderboards.papers import paper_orders
from suite.leaderboards.parts import Part, parts
from suite.leaderboards.rows import Usual, listed
from suite.planning.identity import examples_digest
from suite.planning.recipes import track_recipe
from suite.registry.schema import GeneratedSource, Scale, Store, TrackEntry
from suite.results.moderation import moderated
from suite.results.noise import Pool, Variance
from suite.results.ranks import ranks
from suite.results.records import Result
from suite.results.scores import contribution
from suite.results.statistics import Estimate, RunNoise

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
    return boards_of(parts(results, registry), registry, pools)


def boards_of(
    found: Iterable[Part], registry: "Registry", pools: Sequence[Pool] = ()
) -> list[Board]:
    """The same from the parts of all methods."""
    by_board: dict[tuple[str, str, Scale], list[Part]] = defaultdict(list)
    for part in found:
        by_board[part.track, part.backbone, part.scale].append(part)
    for track in registry.tracks.values():
        for row in track.published:
            entry = registry.backbones.get(row.backbone)
            scale = entry.scale if entry else Scale.FULL
            by_board.setdefault((track.name, row.backbone, scale), [])
    return [
        _board(registry.tracks[track], backbone, scale, own, registry, pools)
        for (track, backbone, scale), own in sorted(by_board.items(), key=lambda item: item[0])
    ]


def _board(
    track: TrackEntry,
    backbone: str,
    scale: Scale,
    found: Iterable[Part],
    registry: "Registry",
    pools: Sequence[Pool],
) -> Board:
    found = sorted(found, key=lambda part: part.method)
    # A method that this family cannot have is told once, not as a row of failures.
    refused = {part.method: part.refusal for part in found if part.refusal}
    tried = [part for part in found if not part.refusal]
    usual = Usual((part.method, evidence) for part in tried for _, evidence in part.rows)
    # Rows of other seeds are estimated all the same: their scores are shown, below the line.
    rows = _same_seeds(
        [
            replace(
                row,
                entry=registry.methods.get(row.method),
                objections=(*row.objections, *usual.objections(evidence)),
            )
            for part in tried
            for row, evidence in part.rows
        ]
    )
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
    # Where methods met other test examples, those of the first one.
    constants = {t: best for part in reversed(tried) for t, best in part.constants.items()}
    ranked = _ranked(comparable)
    return Board(
        track=track,
        backbone=backbone,
        backbone_entry=registry.backbones.get(backbone),
        scale=scale,
        ranked=tuple(ranked),
        unranked=tuple(row for row in rows if row.objections),
        unsupported=refused,
        failures=tuple(result for part in tried for result in part.failures),
        published=tuple(row for row in track.published if row.backbone == backbone),
        orders=tuple(paper_orders(track, ranked, backbone, registry)),
        data_notes={task: note for part in tried for task, note in part.data_notes.items()},
        metrics={task: names for part in tried for task, names in part.metrics.items()},
        constants=constants,
        constant_score=(
            float(sum(contribution(track, task, constants[task]) for task in track.tasks))
            if constants.keys() >= set(track.tasks)
            else None
        ),
        noise=noise,
        data=usual.tasks,
        outdated=_outdated(track, backbone, scale, usual.tasks, registry),
        steps=usual.steps,
        backbone_parameters=max((part.backbone_parameters for part in tried), default=0),
        machines=tuple(machine for part in tried for machine in part.machines),
        carried=tuple(carried for part in tried for carried in part.carried),
    )


def _outdated(
    track: TrackEntry,
    backbone: str,
    scale: Scale,
    measured: Mapping[str, str],
    registry: "Registry",
) -> tuple[str, ...]:
    """The embedded tasks that are other ones now than what was `measured` (task -> digest)."""
    entry = registry.backbones.get(backbone)
    if entry is None or not scale.embedded:
        return ()
    recipe = track_recipe(track, scale, entry.family)
    found = []
    for name in track.tasks:
        task = registry.tasks.get(f"{track.name}/{name}")
        source = task and task.sources.at(scale)
        if task and isinstance(source, GeneratedSource) and name in measured:
            now = examples_digest(task, scale, source.digest, recipe, entry.image_size)
            found += [name] if now != measured[name] else []
    return tuple(found)


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
    columns = [
        {
            task: replace(column, estimate=_of(row, column.estimate))
            for task, column in row.tasks.items()
        }
        for row in rows
    ]
    whole = [_of(row, row.estimate) for row in rows]
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


def _of(row: Row, estimate: Estimate | None) -> Estimate | None:
    return estimate and replace(estimate, training=row.training)


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
    others that which they would have among the judges."""
    chosen = [given[i] for i in given if i in judges]
    estimates, noise = moderated(chosen, start)
    found = dict(zip((i for i in given if i in judges), estimates, strict=True))
    for i, estimate in given.items():
        if i not in found:
            speaker = found.get(voters[i])
            beside = speaker or moderated([*chosen, estimate], start)[0][-1]
            found[i] = replace(estimate, noise=beside.noise)
    return found, noise


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows with their ranks, if it is known how the runs of all of them vary."""
    estimates = [row.estimate for row in rows if row.estimate]
    # A rank is a claim about a difference: where one side's noise is unknown there is none.
    if any(estimate.run_noise is None for estimate in estimates):
        return list(rows)
    return [replace(row, rank=rank) for row, rank in zip(rows, ranks(estimates), strict=True)]


def _same_seeds(rows: Sequence[Row]) -> list[Row]:
    """Object to rows whose seeds are not those of most methods; on a tie, the larger set counts."""
    votes: dict[tuple[int, ...], set[str]] = defaultdict(set)
    for row in rows:
        if not row.objections:
            votes[row.seeds].add(row.method)
    usual = max(votes, key=lambda seeds: (len(votes[seeds]), len(seeds), seeds), default=())
    return [
        row
        if row.objections or row.seeds == usual
        else replace(
            row,
            objections=(
                Objection(f"seeds {listed(row.seeds)}; most methods have {listed(usual)}"),
            ),
        )
        for row in rows
    ]
