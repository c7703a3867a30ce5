"""`tune`: each method's learning rate, chosen on validation data with an equal number of trials."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from suite.cli.run import interrupted
from suite.cli.selection import Invocation, load_with_warnings
from suite.console import out, out_json, say, shown, table
from suite.engine.execution import execute
from suite.errors import UserError
from suite.planning.cells import Plan
from suite.planning.output import planned, require_writable, results_of
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry import Registry
from suite.registry.schema import TRIALS
from suite.results.packing import is_packed, pack
from suite.results.records import CellKey, Result
from suite.results.searches import FOLDER, Search, pack_path, trial_of


def tune(options: argparse.Namespace) -> int:
    """Train every trial, record what was found and say which learning rate is best.

    Trials are kept like results, so that the same command continues after an interruption. The
    YAML is not edited: whoever writes the recipe reads the answer first.
    """
    asked = Invocation.of(options)
    registry = load_with_warnings(asked.registry)
    out_folder, quiet = asked.settings.out, asked.settings.quiet
    _require_rates(asked.request, registry)
    require_writable(out_folder)
    plans = []
    results: list[list[Result]] = []
    for number in range(TRIALS):
        settings = replace(asked.settings, out=out_folder / FOLDER / f"trial-{number + 1}")
        made = planned(replace(asked.request, trial=number), registry, settings.out)
        if made.missing:
            raise UserError("\n".join(map(str, made.missing)))
        if not quiet:
            say(f"trial {number + 1} of {TRIALS}: {len(made.with_action('run'))} cells to run")
        try:
            execute(made, registry, settings)
        except KeyboardInterrupt:
            return interrupted(asked, "finished trials are kept")
        plans.append(made)
        results.append(results_of(made, settings.out))
    searches = list(_searches(plans, results, registry))
    paths = [search.write(out_folder) for search in searches]
    if is_packed(out_folder):
        pack(out_folder)
        paths = [pack_path(out_folder)]
    if asked.json:
        out_json([search.model_dump(mode="json") for search in searches])
    else:
        out(table(("method", "backbone", "tasks", *_HEADER, "best"), map(_row, searches)))
    say(f"recorded: {', '.join(map(shown, paths[:3]))}{', ...' if len(paths) > 3 else ''}")
    return 0 if all(t.score is not None for s in searches for t in s.trials) else 1


_HEADER = tuple(f"trial {number + 1}" for number in range(TRIALS))


def _require_rates(asked: Request, registry: Registry) -> None:
    """Every method has rates to try on every family that is planned."""
    scale = asked.scale
    used = {item.cell.key.backbone for item in plan(asked, registry).planned}
    families = {registry.backbones[name].family for name in used}
    for entry in registry.select_methods(asked.methods):
        for family in (family for family in entry.families if family in families):
            if not entry.trial_rates(scale, family):
                raise UserError(
                    f"{shown(entry.path)}: no learning rates to try on {family} at the {scale} "
                    f"scale; add: tuning: {{{scale}: {{{family}: [{TRIALS} rates]}}}}"
                )


def _searches(
    plans: Sequence[Plan], results: Sequence[Sequence[Result]], registry: Registry
) -> Iterator[Search]:
    """One search for every method, backbone and track that the plans have in common."""

    def where(key: CellKey) -> tuple[str, str, str]:
        return key.method, key.backbone, key.track

    cells = [item.cell for item in plans[0].planned if item.action != "unsupported"]
    for (method, backbone, track), group in groupby(cells, lambda cell: where(cell.key)):
        first, *others = group
        rates = registry.methods[method].trial_rates(
            first.key.scale, registry.backbones[backbone].family
        )
        own = [
            [result for result in found if where(result.cell) == (method, backbone, track)]
            for found in results
        ]
        if any(result.status == "unsupported" for found in own for result in found):
            continue
        keys = [first.key, *(cell.key for cell in others)]
        yield Search(
            method=method,
            backbone=backbone,
            scale=first.key.scale,
            track=track,
            tasks=tuple(dict.fromkeys(task for key in keys for task in key.tasks)),
            seeds=plans[0].request.seeds,
            steps=first.recipe.steps,
            trials=tuple(trial_of(*pair) for pair in zip(rates, own, strict=True)),
        )


def _row(search: Search) -> tuple[str, ...]:
    trials = (
        f"{trial.learning_rate:g}: {'-' if trial.score is None else format(trial.score, '.1f')}"
        for trial in search.trials
    )
    best = f"{search.best.learning_rate:g}" if search.best else "none finished"
    tasks = f"{search.track}/{','.join(search.tasks)}"
    return search.method, search.backbone, tasks, *trials, best
