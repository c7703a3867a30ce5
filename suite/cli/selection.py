"""From parsed options to a plan: shared by `run`, `plan` and `why`."""

import argparse
from pathlib import Path

from suite.console import say
from suite.errors import UserError
from suite.planning.fingerprint import remember
from suite.planning.plan import Plan, Request, plan
from suite.registry import Registry, load
from suite.registry.entries import split_names
from suite.registry.schema import Scale
from suite.results.folder import SINGLES, Lookup, Results, read_history
from suite.results.history import Past


def results_folder(out: Path) -> Path:
    """Where the results of an output folder lie."""
    return out / SINGLES


def load_with_warnings(folder: Path | None) -> Registry:
    """The registry; broken entries are named on stderr, and refused only if selected."""
    registry = load(folder)
    for entry in registry.broken:
        say(f"warning: {entry.kind} '{entry.name}' is broken: {entry.problems[0]}")
    return registry


def history_with_warnings(out: Path) -> Results[Past]:
    """The heads of all results; files that are none are named on stderr."""
    history = read_history(out)
    if history.warning:
        say(history.warning)
    return history


def planned(options: argparse.Namespace, registry: Registry) -> Plan:
    """The plan that the options ask for."""
    made = plan(request(options), registry, Lookup(options.out, Past))
    remember()
    return made


def request(options: argparse.Namespace) -> Request:
    """The options of `run` and `plan` as a request."""
    backbones = split_names(options.backbones)
    if options.backbones and not backbones:
        raise UserError("--backbones names no backbone")
    return Request(
        methods=split_names(options.methods),
        tasks=split_names(options.tasks),
        backbones=backbones,
        scale=Scale(options.scale),
        seeds=_seeds(split_names(options.seeds)),
        steps=options.steps,
        batch_size=options.batch_size,
        options=tuple(options.settings),
        force=options.force,
        only_failed=options.only_failed,
    )


def _seeds(words: tuple[str, ...]) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(word) for word in words))
    except ValueError:
        raise UserError(f"--seeds: whole numbers, not '{','.join(words)}'") from None
    if not seeds or min(seeds) < 0:
        raise UserError("--seeds: give at least one number, none below 0")
    return seeds
