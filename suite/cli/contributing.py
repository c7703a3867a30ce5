"""`validate` and `check`: is an entry well-formed, and does it keep its promises?"""

import argparse
import fnmatch
from collections.abc import Iterable

from suite.console import coloured, out, say
from suite.errors import UserError
from suite.registry import load
from suite.registry.entries import split_names
from suite.registry.names import did_you_mean, normal
from suite.registry.problems import as_error


def validate(options: argparse.Namespace) -> int:
    """Raise every mistake of every entry (or of the named ones) at once."""
    registry = load(options.registry)
    if options.names:
        wanted = {normal(name) for name in split_names(options.names)}
        if not wanted:
            raise UserError("no name is given; without any, every entry is checked")
        known = {*registry.methods, *registry.tasks, *registry.tracks, *registry.backbones}
        known |= {entry.name for entry in registry.broken}
        for name in sorted(wanted - {normal(name) for name in known}):
            raise UserError(f"nothing is called '{name}'{did_you_mean(name, known)}")
        problems = [
            problem
            for entry in registry.broken
            if normal(entry.name) in wanted
            for problem in entry.problems
        ]
        if problems:
            raise as_error(problems)
        out(f"{', '.join(options.names)}: valid")
        return 0
    registry.require_valid()
    out(
        f"{len(registry.methods)} methods, {len(registry.tracks)} tracks with "
        f"{len(registry.tasks)} tasks and {len(registry.backbones)} backbones: all valid"
    )
    return 0


def check(options: argparse.Namespace) -> int:
    """Run the contract test of one method, on every family it claims, or of one task."""
    registry = load(options.registry)
    wanted = normal(options.name)
    for broken in registry.broken:
        if wanted in (normal(broken.name), normal(broken.name.partition("/")[2])):
            raise as_error(broken.problems)
    if any(wanted in (normal(key), normal(task.name)) for key, task in registry.tasks.items()):
        (task,) = registry.select_tasks([options.name])
        from suite.contract.tasks import check_task

        return _report(task.name, (("", found.check, found.fault) for found in check_task(task)))
    track = next((track for name, track in registry.tracks.items() if normal(name) == wanted), None)
    if track:
        example = f"{track.name}/{track.tasks[0]}"
        raise UserError(f"'{track.name}' is a track: check one of its tasks, as in {example}")
    names = {*registry.methods, *registry.tasks, *(task.name for task in registry.tasks.values())}
    if not any(fnmatch.fnmatchcase(normal(name), wanted) for name in names):
        what = "a backbone" if options.name in registry.backbones else "no method and no task"
        near = did_you_mean(options.name, names)
        raise UserError(f"'{options.name}' is {what}: check a method or a task{near}")
    (entry, *more) = registry.select_methods([options.name])
    if more:
        raise UserError(f"check one method at a time, not {entry.name}, {more[0].name}, ...")
    from suite.contract.methods import check_method

    found = (
        (family, finding.check, finding.fault)
        for family in entry.families
        for finding in check_method(entry, registry, family)
    )
    return _report(entry.name, found)


def _report(name: str, found: Iterable[tuple[str, str, str]]) -> int:
    faults = 0
    for family, check_name, fault in found:
        faults += bool(fault)
        verdict = coloured("FAULT", "red") if fault else "ok"
        out(f"{family:<9} {check_name.replace('_', ' '):<36} {verdict} {fault}".strip())
    verdict = f"{faults} fault{'s' if faults > 1 else ''}" if faults else "keeps the contract"
    say(f"{name}: {verdict}")
    return 1 if faults else 0
