"""Searches of learning rates: trials on a grid that grows where the best one is at its edge."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

from suite.console import say
from suite.engine.execution import execute
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.output import planned, results_of
from suite.planning.request import Request
from suite.registry import Registry
from suite.registry.schema import TRIALS, Store
from suite.results.records import CellKey, Result
from suite.results.searches import EXTENSIONS, FOLDER, Search, Trial, best_of, trial_of

Board = tuple[str, str, str, str]
"""Method, setting, backbone and track: what one search is about."""


@dataclass
class _Trials:
    """What is known of one board: its cells' tasks and steps, and a trial at each place."""

    tasks: tuple[str, ...]
    steps: int
    at: dict[int, Trial] = field(default_factory=dict)


def search(request: Request, registry: Registry, settings: Settings) -> list[Search]:
    """Train every trial of the request's methods and judge each on validation data.

    Trials are kept like results, so that the same call continues after an interruption. Raises
    `UserError` if data or weights are missing, or if cells of a trial are left without a result.
    """
    request = replace(request, tasks=search_tasks(request, registry))
    found: dict[Board, _Trials] = {}
    for place in range(TRIALS):
        _try(request, registry, settings, place, found)
    for _ in range(EXTENSIONS):
        wanted: dict[int, set[Board]] = {}
        for board, trials in found.items():
            place_beyond = beyond(trials.at)
            if place_beyond is not None:
                wanted.setdefault(place_beyond, set()).add(board)
        for place, boards in sorted(wanted.items()):
            _try(request, registry, settings, place, found, boards)
    return [
        Search(
            method=method,
            setting=setting,
            backbone=backbone,
            scale=request.scale,
            track=track,
            tasks=trials.tasks,
            seeds=request.seeds,
            steps=trials.steps,
            trials=tuple(trials.at[place] for place in sorted(trials.at)),
        )
        for (method, setting, backbone, track), trials in found.items()
    ]


def search_tasks(request: Request, registry: Registry) -> tuple[str, ...]:
    """The tasks of the request, a whole track being searched on those it names for that.

    Raises `UserError` for a track whose cells start from those of another."""
    chosen: dict[str, list[str]] = {}
    for task in registry.select_tasks(request.tasks):
        chosen.setdefault(task.track, []).append(task.name)
    found = []
    for name, tasks in chosen.items():
        track = registry.tracks[name]
        if track.start is not None:
            raise UserError(
                f"the cells of track {name} start from those of {track.start.track}, which a "
                f"search does not train; search there: --tasks {track.start.track}"
            )
        whole = set(tasks) == set(track.tasks)
        own = track.search.get(request.scale, ()) if whole else ()
        found += [f"{name}/{task}" for task in own or tasks]
    return tuple(found)


def beyond(trials: Mapping[int, Trial]) -> int | None:
    """The place at which to try next: beyond the edge if the best rate is there, else none."""
    best = best_of(trials.values())
    if best is None:
        return None
    first, last = min(trials), max(trials)
    if trials[last] is best:
        return last + 1
    return first - 1 if trials[first] is best else None


def _try(
    request: Request,
    registry: Registry,
    settings: Settings,
    place: int,
    found: dict[Board, _Trials],
    boards: Collection[Board] | None = None,
) -> None:
    """One more trial of every board, or of some."""
    folder = f"trial-{place + 1}" if place >= 0 else f"below-{-place}"
    settings = replace(settings, out=settings.out / FOLDER / folder)
    made = planned(replace(request, trial=place), registry, settings.out)
    if boards is not None:
        own = tuple(item for item in made.planned if _board(item.cell.key) in boards)
        made = replace(made, planned=own)
    if absent := made.with_action("missing"):
        raise UserError("\n".join(map(str, made.missing)) or absent[0].reason)
    if place == 0:
        for reason in made.left_out:
            say(f"left out: {reason}")
    if not settings.quiet:
        what = f"trial {place + 1} of {TRIALS}" if boards is None else "beyond the grid"
        say(f"{what}: {len(made.with_action('run'))} cells to run")
    execute(made, registry, settings)
    results: dict[Board, list[Result]] = {}
    for result in results_of(made, settings.out):
        results.setdefault(_board(result.cell), []).append(result)
    cells = [item.cell for item in made.planned if item.action != "unsupported"]
    for board in dict.fromkeys(_board(cell.key) for cell in cells):
        own_cells = [cell for cell in cells if _board(cell.key) == board]
        own_results = results.get(board, [])
        if len(own_results) < len(own_cells):
            # A mean over fewer cells than those of the other rates is no judgement of this one.
            raise UserError(
                f"trial {place + 1} of {own_cells[0].key.method}: {len(own_results)} of "
                f"{len(own_cells)} cells have a result; the same command goes on"
            )
        if any(result.status == "unsupported" for result in own_results):
            continue
        tasks = tuple(dict.fromkeys(task for cell in own_cells for task in cell.key.tasks))
        steps = round(fmean(cell.recipe.steps for cell in own_cells))
        trials = found.setdefault(board, _Trials(tasks, steps))
        trials.at[place] = trial_of(own_cells[0].recipe.learning_rate, own_results)


def _board(key: CellKey) -> Board:
    # A search has a place for its steps.
    parts = [part for part in key.setting.split(",") if part and not part.startswith("steps=")]
    parts += [f"store={key.store}"] if key.store is not Store.FLOAT32 else []
    return key.method, ",".join(parts), key.backbone, key.track
