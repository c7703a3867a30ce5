"""`tune`: each method's learning rate, chosen on validation data by one rule for all methods."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from suite.cli.run import interrupted
from suite.cli.selection import Invocation, load_with_warnings
from suite.console import out, out_json, say, shown, table
from suite.engine.execution import require_committed
from suite.engine.search import search, search_tasks
from suite.errors import UserError
from suite.planning.output import require_writable
from suite.planning.request import Request
from suite.registry import Registry
from suite.registry.cache import given_backbones
from suite.registry.loader import own_registry
from suite.registry.rates import as_yaml, rates_path, read_rates, with_rates
from suite.registry.schema import FoundRate, MethodRates
from suite.results.files import NoResult, replace_file, warning_of
from suite.results.margins import margin_of
from suite.results.packing import is_packed, pack
from suite.results.searches import Search, pack_path, read_searches


def tune(options: argparse.Namespace) -> int:
    """Train every trial, record the scores and say which learning rate is best.

    Only with `--adopt` do runs take what was found: whoever asks for it reads the answer.
    """
    asked = Invocation.of(options)
    online = not asked.settings.offline
    asked, registry = asked.with_given(load_with_warnings(asked.registry), fetch=online)
    out_folder = asked.settings.out
    if options.adopt:
        _require_own_registry(registry)
        _require_known_backbones(asked.request, registry)
    recorded = read_searches(out_folder)
    if warning := warning_of(recorded.left_out, "search"):
        say(warning)
    _require_free_places(asked.request, registry, recorded.left_out)
    _require_same_tasks(asked.request, registry, recorded.found)
    require_writable(out_folder)
    require_committed(asked.settings)
    try:
        searches = search(asked.request, registry, asked.settings)
    except KeyboardInterrupt:
        return interrupted(asked, "finished trials are kept")
    paths = [each.write(out_folder) for each in searches]
    if is_packed(out_folder):
        pack(out_folder)
        paths = [pack_path(out_folder)]
    if asked.json:
        out_json([each.model_dump(mode="json") for each in searches])
    else:
        out(table(("method", "backbone", "tasks", "trials", "best", "margin"), map(_row, searches)))
    _tell("recorded", paths)
    if options.adopt:
        _tell("runs now take the best rates of", _adopted(searches, registry))
    for each in searches:
        if each.best is not None and each.best_is_at_edge:
            say(
                f"{each.name} on {each.track} and {each.backbone}: the best rate, "
                f"{each.best.learning_rate:g}, is the lowest "
                "or the highest that was tried; it is not adopted"
            )
    good = bool(searches) and all(
        each.best is not None and not each.best_is_at_edge for each in searches
    )
    return 0 if good and all(t.score is not None for s in searches for t in s.trials) else 1


def _require_same_tasks(asked: Request, registry: Registry, recorded: Sequence[Search]) -> None:
    """All methods of a track are searched on the same tasks, for else the rate of one would rest
    on more evidence than that of another."""
    chosen: dict[str, set[str]] = {}
    for name in search_tasks(asked, registry):
        track, _, task = name.partition("/")
        chosen.setdefault(track, set()).add(task)
    methods = {entry.name for entry in registry.select_methods(asked.methods)}
    for each in recorded:
        # A search of a method that is asked for is replaced; one with scored seeds is of before
        # this rule.
        if each.scale != asked.scale or each.method in methods or not each.apart:
            continue
        if each.track in chosen and chosen[each.track] != set(each.tasks):
            raise UserError(
                f"{each.track}: {each.method} was searched on {','.join(each.tasks)}, so that "
                "every method must be; give these tasks, or search all methods anew in another "
                "--out"
            )


def _require_free_places(asked: Request, registry: Registry, left_out: Sequence[NoResult]) -> None:
    """No file that is no search lies where one of these methods' would be written."""
    methods = {entry.name for entry in registry.select_methods(asked.methods)}
    for each in left_out:
        scale, method, *_ = f"{Path(each.place).name}..".split(".")
        if scale == asked.scale and method.partition("[")[0] in methods:
            raise UserError(f"{each.place}: {each.reason}; move it away or delete it")


def _require_own_registry(registry: Registry) -> None:
    """Rates are written to a registry of the user's, not into the installed package."""
    if (
        registry.folders[0] == own_registry()
        and not (registry.folders[0] / "pyproject.toml").is_file()
    ):
        raise UserError("--adopt writes to a registry: name yours with --registry FOLDER")


def _require_known_backbones(asked: Request, registry: Registry) -> None:
    """No rate is adopted for a backbone that other users of the registry do not have."""
    for entry in registry.select_backbones(asked.backbones):
        if entry.path.parent == given_backbones():
            raise UserError(
                f"--adopt: {entry.name} was given by its hub id or folder and is an entry of this "
                "machine alone; write one for the registry (python -m suite new backbone)"
            )


def _adopted(searches: Iterable[Search], registry: Registry) -> list[Path]:
    """Write the best rate of every search to the first registry; the files. A rate is that of a
    method as it is: what other settings would take is not kept."""
    found: dict[str, dict[tuple[str, str], FoundRate]] = {}
    for each in searches:
        if each.setting or each.best is None or each.best.score is None or each.best_is_at_edge:
            continue
        margin = margin_of(each)
        found.setdefault(each.method, {})[each.track, each.backbone] = FoundRate(
            learning_rate=each.best.learning_rate,
            score=each.best.score,
            margin=None if margin is None else round(margin.points, 2),
            tasks=each.tasks,
            seeds=each.seeds,
            steps=each.steps,
        )
    paths = []
    for method, rates in found.items():
        path = rates_path(registry.folders[0], method)
        before = read_rates(path) if path.is_file() else MethodRates(schema=1, name=method)
        paths.append(replace_file(path, as_yaml(with_rates(before, rates))))
    return paths


def _tell(what: str, paths: Sequence[Path]) -> None:
    if paths:
        say(f"{what}: {', '.join(map(shown, paths[:3]))}{', ...' if len(paths) > 3 else ''}")


def _row(each: Search) -> tuple[str, ...]:
    trials = "  ".join(
        f"{trial.learning_rate:g}: {'-' if trial.score is None else format(trial.score, '.1f')}"
        for trial in each.trials
    )
    best = f"{each.best.learning_rate:g}" if each.best else "none finished"
    margin = str(margin_of(each) or "")
    tasks = f"{each.track}/{','.join(each.tasks)}"
    return each.name, each.backbone, tasks, trials, best, margin
