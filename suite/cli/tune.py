"""`tune`: each method's learning rate, chosen on validation data with an equal number of trials."""

import argparse
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from suite.cli.run import command_again, require_writable, results_of, run_plan
from suite.cli.selection import load_with_warnings, request
from suite.console import out, out_json, say, shown, table
from suite.errors import UserError
from suite.planning.fingerprint import remember
from suite.planning.plan import Plan, plan
from suite.registry import Registry
from suite.registry.schema import TRIALS, Scale
from suite.results.folder import Lookup
from suite.results.history import Past
from suite.results.packing import is_packed, pack
from suite.results.records import CellKey, Result
from suite.results.searches import FOLDER, Search, pack_path, trial_of


def tune(options: argparse.Namespace) -> int:
    """Train every trial, record what was found and say which learning rate is best.

    Trials are kept like results, so that the same command continues after an interruption. The
    YAML is not edited: whoever writes the recipe reads the answer first.
    """
    registry = load_with_warnings(options.registry)
    asked = request(options)
    used = {item.cell.key.backbone for item in plan(asked, registry).planned}
    families = {registry.backbones[name].family for name in used}
    _require_rates(registry, asked.methods, asked.scale, families)
    require_writable(options.out)
    plans = []
    results: list[list[Result]] = []
    for number in range(TRIALS):
        folder = options.out / FOLDER / f"trial-{number + 1}"
        made = plan(replace(asked, trial=number), registry, Lookup(folder, Past))
        remember()
        if made.missing:
            raise UserError("\n".join(map(str, made.missing)))
        if not options.quiet:
            say(f"trial {number + 1} of {TRIALS}: {len(made.with_action('run'))} cells to run")
        try:
            run_plan(made, registry, options, folder)
        except KeyboardInterrupt:
            say("interrupted; finished trials are kept, and the same command continues:")
            say(f"  {command_again(options)}")
            return 130
        plans.append(made)
        results.append(results_of(made, folder))
    searches = list(_searches(plans, results, registry))
    paths = [search.write(options.out) for search in searches]
    if is_packed(options.out):
        pack(options.out)
        paths = [pack_path(options.out)]
    if options.json:
        out_json([search.model_dump(mode="json") for search in searches])
    else:
        out(table(("method", "backbone", "tasks", *_HEADER, "best"), map(_row, searches)))
    say(f"recorded: {', '.join(map(shown, paths[:3]))}{', ...' if len(paths) > 3 else ''}")
    return 0 if all(t.score is not None for s in searches for t in s.trials) else 1


_HEADER = tuple(f"trial {number + 1}" for number in range(TRIALS))


def _require_rates(
    registry: Registry, names: Sequence[str], scale: Scale, families: Collection[str]
) -> None:
    for entry in registry.select_methods(names):
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
