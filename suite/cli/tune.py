"""`tune`: each method's learning rate, chosen on validation data by one rule for all methods."""

import argparse
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from suite.cli.run import interrupted
from suite.cli.selection import Invocation, load_with_warnings
from suite.console import out, out_json, say, shown, table
from suite.engine.execution import execute, require_committed
from suite.errors import UserError
from suite.planning.cells import Cell
from suite.planning.output import planned, require_writable, results_of
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry import Registry
from suite.registry.schema import TRIALS
from suite.results.margins import margin_of
from suite.results.packing import is_packed, pack
from suite.results.records import CellKey, Result
from suite.results.searches import (
    EXTENSIONS,
    FOLDER,
    Search,
    Trial,
    best_of,
    pack_path,
    read_searches,
    trial_of,
)


class Where(NamedTuple):
    """What one search is of."""

    method: str
    backbone: str
    track: str

    @classmethod
    def of(cls, key: CellKey) -> "Where":
        """The search that a cell belongs to."""
        return cls(key.method, key.backbone, key.track)


def tune(options: argparse.Namespace) -> int:
    """Train every trial, record the scores and say which learning rate is best.

    Every method tries the rates of its grid. While a method's best rate is the lowest or the
    highest one tried, it tries the next rate beyond, at most `EXTENSIONS` times. Trials are kept
    like results, so that the same command continues after an interruption. The YAML is not edited:
    whoever writes the recipe reads the answer first.
    """
    asked = Invocation.of(options)
    registry = load_with_warnings(asked.registry)
    _require_rates(asked.request, registry)
    _require_same_tasks(asked.request, registry, read_searches(asked.settings.out))
    require_writable(asked.settings.out)
    require_committed(asked.settings)
    search = _Searching(asked, registry)
    try:
        for place in range(TRIALS):
            search.run(place)
        for _ in range(EXTENSIONS):
            for place, members in search.beyond().items():
                search.run(place, members)
    except KeyboardInterrupt:
        return interrupted(asked, "finished trials are kept")
    return _report(asked, search.records())


class _Searching:
    """The trials so far of every search of a command."""

    def __init__(self, asked: Invocation, registry: Registry) -> None:
        self._asked = asked
        self._registry = registry
        self._cells: dict[Where, list[Cell]] = defaultdict(list)
        self._found: dict[Where, dict[int, list[Result]]] = defaultdict(dict)
        """Place in the grid -> what was found there, for every search."""

    def run(self, place: int, only: Collection[Where] | None = None) -> None:
        """Train with the rate at a place of each grid, for all searches or some of them."""
        out_folder = self._asked.settings.out / FOLDER / _folder(place)
        settings = replace(self._asked.settings, out=out_folder)
        made = planned(replace(self._asked.request, trial=place), self._registry, out_folder)
        if only is not None:
            members = (item for item in made.planned if Where.of(item.cell.key) in only)
            made = replace(made, planned=tuple(members))
        if made.missing:
            raise UserError("\n".join(map(str, made.missing)))
        if not self._asked.settings.quiet:
            say(f"{_folder(place)}: {len(made.with_action('run'))} cells to run")
        execute(made, self._registry, settings)
        if place == 0:
            for item in made.planned:
                if item.action != "unsupported":
                    self._cells[Where.of(item.cell.key)].append(item.cell)
        for result in results_of(made, out_folder):
            self._found[Where.of(result.cell)].setdefault(place, []).append(result)

    def beyond(self) -> dict[int, list[Where]]:
        """Place -> the searches that must go on there, because their best rate is at an edge."""
        wanted: dict[int, list[Where]] = defaultdict(list)
        for where in filter(self._supported, self._cells):
            trials = self._trials(where)
            best = best_of(trials.values())
            if best is trials[min(trials)]:
                wanted[min(trials) - 1].append(where)
            elif best is trials[max(trials)]:
                wanted[max(trials) + 1].append(where)
        return wanted

    def records(self) -> list[Search]:
        """Every search, apart from those whose method turned out not to be defined there."""
        return [
            Search(
                method=where.method,
                backbone=where.backbone,
                scale=cells[0].key.scale,
                track=where.track,
                tasks=tuple(dict.fromkeys(task for cell in cells for task in cell.key.tasks)),
                seeds=self._asked.request.seeds,
                steps=cells[0].recipe.steps,
                trials=tuple(trial for _, trial in sorted(self._trials(where).items())),
            )
            for where, cells in self._cells.items()
            if self._supported(where)
        ]

    def _supported(self, where: Where) -> bool:
        found = self._found[where].values()
        return bool(found) and not any(
            result.status == "unsupported" for own in found for result in own
        )

    def _trials(self, where: Where) -> dict[int, Trial]:
        """Place -> the trial there."""
        entry = self._registry.methods[where.method]
        family = self._registry.backbones[where.backbone].family
        scale = self._asked.request.scale
        return {
            place: trial_of(entry.trial_rate(scale, family, place), results)
            for place, results in self._found[where].items()
        }


def _folder(place: int) -> str:
    """Where the trials of a place lie: `trial-1`, ...; off the grid `below-1`, `above-1`, ..."""
    if place < 0:
        return f"below-{-place}"
    return f"trial-{place + 1}" if place < TRIALS else f"above-{place + 1 - TRIALS}"


def _require_rates(asked: Request, registry: Registry) -> None:
    """Every method has rates to try on every family that is planned."""
    scale = asked.scale
    # Whether a seed may be searched with is not the question here.
    used = {item.cell.key.backbone for item in plan(replace(asked, seeds=(0,)), registry).planned}
    families = {registry.backbones[name].family for name in used}
    for entry in registry.select_methods(asked.methods):
        for family in (family for family in entry.families if family in families):
            if not entry.trial_rates(scale, family):
                raise UserError(
                    f"{shown(entry.path)}: no learning rates to try on {family} at the {scale} "
                    f"scale; add: tuning: {{{scale}: {{{family}: [{TRIALS} rates]}}}}"
                )


def _require_same_tasks(asked: Request, registry: Registry, recorded: Sequence[Search]) -> None:
    """The searches of a board are all made on the same tasks, for else one method's rate would
    rest on more evidence than another's."""
    tasks: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item in plan(replace(asked, trial=0), registry).planned:
        tasks[item.cell.key.track, item.cell.key.backbone].update(item.cell.key.tasks)
    methods = {entry.name for entry in registry.select_methods(asked.methods)}
    for search in recorded:
        now = tasks.get((search.track, search.backbone))
        # A search of a method that is asked for is replaced, one with scored seeds does not count.
        if search.scale != asked.scale or search.method in methods or not search.apart or not now:
            continue
        if now != set(search.tasks):
            raise UserError(
                f"{search.track} on {search.backbone}: {search.method} was searched on "
                f"{','.join(search.tasks)}, so that every method must be; give these tasks, "
                "or search all methods anew in another --out"
            )


def _report(asked: Invocation, searches: Sequence[Search]) -> int:
    out_folder = asked.settings.out
    paths = [search.write(out_folder) for search in searches]
    if is_packed(out_folder):
        pack(out_folder)
        paths = [pack_path(out_folder)]
    if asked.json:
        out_json([search.model_dump(mode="json") | _verdict(search) for search in searches])
    else:
        out(table(("method", "backbone", "tasks", "trials", "best", "margin"), map(_row, searches)))
    say(f"recorded: {', '.join(map(shown, paths[:3]))}{', ...' if len(paths) > 3 else ''}")
    return 0 if all(t.score is not None for s in searches for t in s.trials) else 1


def _verdict(search: Search) -> dict[str, object]:
    """What follows from the trials, for machines."""
    margin = margin_of(search)
    return {
        "best": search.best.learning_rate if search.best else None,
        "at_edge": search.at_edge,
        "margin": margin.points if margin else None,
        "within_noise": margin.within_noise if margin else None,
    }


def _row(search: Search) -> tuple[str, ...]:
    trials = (
        f"{trial.learning_rate:g}: {'-' if trial.score is None else format(trial.score, '.1f')}"
        for trial in search.trials
    )
    best = f"{search.best.learning_rate:g}" if search.best else "none finished"
    tasks = f"{search.track}/{','.join(search.tasks)}"
    margin = margin_of(search)
    return search.method, search.backbone, tasks, ", ".join(trials), best, str(margin or "-")
