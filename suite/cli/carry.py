"""`carry`: measured results are kept through changes of the code that change no result."""

import argparse
import fnmatch
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from suite.cli.selection import load_with_warnings
from suite.console import say
from suite.engine.execution import require_committed
from suite.engine.recorded import Recorded
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.outdated import Group, Outdated, sort_out
from suite.planning.output import results_folder
from suite.registry import Registry
from suite.registry.entries import split_names
from suite.results.folder import Lookup, read_results
from suite.results.records import Carried, Result

_SHOWN = 3


def carry(options: argparse.Namespace) -> int:
    """Compare a sample of every method, family, scale, precision and set of metrics under the
    recorded and the present code, and stamp the results of those that are equal with the identity
    of the present one.

    What was carried is written at once, so that the same command continues after an interruption.
    """
    from suite import leaderboards

    require_committed(Settings(options.out, allow_dirty=options.allow_dirty))
    registry = load_with_warnings(options.registry)
    found = sort_out(read_results(options.out).values(), registry)
    say(f"of the present code: {_results(found.current)}")
    for reason, cells in found.others.items():
        more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
        say(f"left as they are, {reason}: {', '.join(cells[:_SHOWN])}{more}")
    chosen = {
        group: every
        for group, every in found.groups.items()
        if _named(group.method, options.methods) and _named(group.family, options.families)
    }
    if found.groups and not chosen:
        raise UserError("no result that is to be carried has these methods and families")
    undefined = [
        each
        for each in found.undefined
        if _named(each.result.cell.method, options.methods)
        and _named(registry.backbones[each.result.cell.backbone].family, options.families)
    ]
    _stamp(undefined, None, options.out)
    kept = 0
    with Recorded.opened() as recorded:
        for number, (group, every) in enumerate(chosen.items(), 1):
            head = f"[{number}/{len(chosen)}] {_shown(group)}: {_results(len(every))}"
            try:
                kept += _carry_group(recorded, group, every, options, registry, head)
            except UserError as error:
                say(f"{head} stale: {error}")
            except KeyboardInterrupt:
                say("interrupted; what was carried is kept, and the same command continues")
                return 130
    leaderboards.build(options.out, registry)
    stale = sum(map(len, chosen.values())) - kept
    say(f"carried: {_results(kept)}; stale: {stale}, which run measures again")
    return 1 if stale else 0


def _carry_group(
    recorded: Recorded,
    group: Group,
    every: Sequence[Outdated],
    options: argparse.Namespace,
    registry: Registry,
    head: str,
) -> int:
    """How many results of a group were carried: all or none."""
    sample = _sample(every, options.sample)
    say(f"{head}; comparing {', '.join(each.result.cell.label for each in sample)}")
    compared = recorded.compare(group, sample, options.steps, registry)
    if compared.carried is None:
        say(f"{head} stale: {compared.difference}")
        return 0
    _stamp(every, compared.carried, options.out)
    say(f"{head} carried: {compared.predictions:,} predictions are equal bit for bit")
    return len(every)


def _sample(every: Sequence[Outdated], count: int) -> list[Outdated]:
    """Some results of each kind, the same ones each time, in an order that has nothing to do with
    names. Code that only one scale, precision or metric uses is run by no other kind."""
    kinds: dict[tuple[object, ...], list[Outdated]] = defaultdict(list)
    for each in every:
        cell, identity = each.result.cell, each.result.identity
        formulas = {digest.partition(".")[2] for digest in identity.tasks.values()}
        kinds[cell.scale, cell.store, *sorted(formulas)].append(each)

    def drawn(each: Outdated) -> str:
        return hashlib.sha256(each.result.cell.label.encode()).hexdigest()

    return [each for own in kinds.values() for each in sorted(own, key=drawn)[:count]]


def _stamp(every: Sequence[Outdated], carried: Carried | None, out: Path) -> None:
    known = Lookup(out, Result)
    for each in every:
        if known.get(each.result.cell) != each.result:
            say(f"left as it is, because it was written meanwhile: {each.result.cell.label}")
            continue
        changed = {"identity": each.identity, "carried": carried}
        each.result.model_copy(update=changed).write(results_folder(out))


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count} results"


def _named(name: str, patterns: Sequence[str]) -> bool:
    words = split_names(patterns)
    return not words or "all" in words or any(fnmatch.fnmatch(name, word) for word in words)


def _shown(group: Group) -> str:
    commit = group.commit[:8] if group.commit else "an unknown commit"
    tree = ", whose tree was dirty" if group.dirty else ""
    return f"{group.method} on {group.family} from {commit}{tree}"
