"""`validate` and `check`: is an entry well-formed, and does it pass its contract test?"""

import argparse
import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from suite.console import coloured, out, out_json, say
from suite.errors import UserError
from suite.planning.given import is_given, with_given
from suite.planning.locate import model_folder
from suite.registry import Registry, load
from suite.registry.entries import split_names
from suite.registry.names import did_you_mean, normal
from suite.registry.problems import as_error
from suite.registry.schema import BackboneEntry, MethodEntry, Scale


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
    """Run the contract test of one method, on every family it claims, of one task, or of one
    backbone with every method that claims its family."""
    registry, wanted = load(options.registry), normal(options.name)
    if is_given(options.name):
        registry, (name,) = with_given(registry, [options.name], fetch=True)
        wanted = normal(name)
    for broken in registry.broken:
        if wanted in (normal(broken.name), normal(broken.name.partition("/")[2])):
            raise as_error(broken.problems)
    if any(wanted in (normal(key), normal(task.name)) for key, task in registry.tasks.items()):
        (task,) = registry.select_tasks([options.name])
        from suite.contract.tasks import check_task

        found = (Row(each.scale, each.check, each.fault) for each in check_task(task))
        return _report(task.name, found, options.json)
    backbone = next((b for name, b in registry.backbones.items() if normal(name) == wanted), None)
    if backbone:
        return _report(backbone.name, _of_backbone(backbone, registry), options.json)
    track = next((track for name, track in registry.tracks.items() if normal(name) == wanted), None)
    if track:
        example = f"{track.name}/{track.tasks[0]}"
        raise UserError(f"'{track.name}' is a track: check one of its tasks, as in {example}")
    names = {*registry.methods, *registry.tasks, *(task.name for task in registry.tasks.values())}
    if not any(fnmatch.fnmatchcase(normal(name), wanted) for name in names):
        near = did_you_mean(options.name, {*names, *registry.backbones})
        raise UserError(
            f"'{options.name}' is no method, no task and no backbone: check one of these{near}"
        )
    (entry, *more) = registry.select_methods([options.name])
    if more:
        raise UserError(f"check one method at a time, not {entry.name}, {more[0].name}, ...")
    return _report(entry.name, _of_method(entry, registry), options.json)


UNCHECKED = "not checked"


@dataclass(frozen=True)
class Row:
    """One line of the answer: what was checked, and the fault if there is one."""

    family: str
    """Of backbones; of a task the scale of its examples."""
    check: str
    fault: str
    note: str = ""


def _of_method(entry: MethodEntry, registry: Registry) -> Iterator[Row]:
    """The checks of a method on every family with an embedded backbone on which it is defined, and
    the other families that it names; raises `UserError` if there is none of the former."""
    from suite.contract.methods import check_method

    embedded = {b.family for b in registry.backbones.values() if b.scale is Scale.MINI}
    chosen = [family for family in sorted(embedded) if not entry.refusal(family)]
    if not chosen:
        raise UserError(
            f"{entry.path}: {entry.name} is defined on no family with an embedded backbone "
            f"({', '.join(sorted(embedded))}): there is nothing to check"
        )
    for family in chosen:
        for each in check_method(entry, registry, family):
            yield Row(family, each.check, each.fault)
    for family in sorted({*entry.families} - embedded):
        yield Row(family, UNCHECKED, "", "there is no embedded backbone of this family")


def _of_backbone(entry: BackboneEntry, registry: Registry) -> Iterator[Row]:
    """The checks of a backbone; raises `UserError` if its weights are not here."""
    model_folder(entry)
    from suite.backbones.load import load_backbone, read_backbone
    from suite.contract.networks import check_backbone

    try:
        backbone = read_backbone(entry)
    except UserError as fault:
        yield Row(entry.family, "loads whole", str(fault))
        return
    yield Row(entry.family, "loads whole", "", backbone.note)
    known = {
        name for track in registry.tracks.values() for name in track.backbones.get(Scale.MINI, ())
    }
    references = [load_backbone(own) for name, own in registry.backbones.items() if name in known]
    for found in check_backbone(backbone, [*registry.methods.values()], references):
        yield Row(entry.family, found.check, found.fault, found.note)


def _report(name: str, found: Iterable[Row], as_json: bool) -> int:
    faults = 0
    rows = []
    for row in found:
        faults += bool(row.fault)
        if as_json:
            rows.append(asdict(row))
            continue
        verdict = coloured("FAULT", "red") if row.fault else "" if row.check == UNCHECKED else "ok"
        said = row.fault or row.note
        out(f"{row.family:<9} {row.check.replace('_', ' '):<36} {verdict} {said}".strip())
    if as_json:
        out_json({"name": name, "faults": faults, "checks": rows})
    verdict = f"{faults} fault{'s' if faults > 1 else ''}" if faults else "keeps the contract"
    say(f"{name}: {verdict}")
    return 1 if faults else 0
