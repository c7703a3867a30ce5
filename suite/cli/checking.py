"""Results held against themselves, their deltas and the submission that they came in."""

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import UserError
from suite.planning.identity import holds, recipe_digest
from suite.planning.outdated import stale
from suite.registry import Registry
from suite.registry.schema import TaskEntry
from suite.results import submission, verify
from suite.results.folder import delta_path, read_results
from suite.results.records import Result

if TYPE_CHECKING:
    from suite.engine.rescore import Rescored, Rescorer


@dataclass(frozen=True)
class Checked:
    """A result, what contradicts it, and what scoring its delta again showed if that was done."""

    result: Result
    problems: tuple[str, ...]
    rescored: "Rescored | None" = None


@dataclass(frozen=True)
class Submitted:
    """The results of a submission, and all that is wrong with it, in words that name the member."""

    results: tuple[Checked, ...]
    wrong: tuple[str, ...]


def rescorer(options: argparse.Namespace, registry: Registry) -> "Rescorer":
    """What scores deltas again, on the device that was asked for."""
    from suite.engine.devices import resolve_device
    from suite.engine.rescore import Rescorer

    return Rescorer(registry, resolve_device(options.device))


def check(
    results: Iterable[Result], folder: Path, registry: Registry, scorer: "Rescorer | None"
) -> Iterator[Checked]:
    """Each result against itself and, if there is a scorer, against its delta where that exists."""
    for result in results:
        said = [*_of_identity(result), *verify.problems(result, _tasks(result, registry))]
        delta = delta_path(folder, result.cell)
        rescored = None
        if scorer and not said and result.status == "ok" and delta.is_file():
            try:
                rescored = scorer.rescore(result, delta)
                said += rescored.problems
            except UserError as error:
                said.append(str(error).replace(f"{folder}/", ""))
        yield Checked(result, tuple(said), rescored)


def unfit(result: Result) -> Iterator[str]:
    """Why nobody else could verify a result, in words."""
    if result.status != "ok":
        yield f"{result.status}: {result.reason}"
    elif not result.delta:
        yield "measured before results had the digest of their delta"
    if result.environment and result.environment.dirty:
        yield "measured from a source tree with changes that were not committed"


def submitted(path: Path, registry: Registry, scorer: "Rescorer | None") -> Submitted:
    """A submission held against its manifest, itself and the registry here; with a scorer also
    against its deltas and the present code. Raises `UserError` for a file that is none."""
    with tempfile.TemporaryDirectory(prefix="suite-") as name:
        folder = Path(name)
        manifest, wrong = submission.unpack(path, folder)
        found = read_results(folder)
        wrong += [f"{each.place}: {each.reason}".replace(f"{name}/", "") for each in found.left_out]
        here = submission.foreign_files(found.values(), registry)
        wrong += [
            f"{file}: not the file that was measured with; name its folder with --registry"
            for file, digest in manifest.registry.items()
            if here.get(file) != digest
        ]
        known: set[str] = set()
        for result in found.values():
            pack, delta = submission.pack_member(result), submission.delta_name(result)
            known |= {pack, delta}
            wrong += [f"{pack}: {result.cell.label}: {reason}" for reason in unfit(result)]
            if result.status == "ok" and delta not in manifest.members:
                wrong.append(f"{delta}: it is missing, but its result is there")
            elif result.delta and result.delta != manifest.members.get(delta):
                wrong.append(f"{delta}: it is not the file that was scored")
        wrong += [f"{each}: belongs to no result" for each in manifest.members if each not in known]
        if scorer and not wrong:
            wrong += [
                f"{submission.pack_member(found[cell])}: {cell.label}: {reason}"
                for cell, reason in stale(found.values(), registry).items()
            ]
        checked = tuple(check(found.values(), folder, registry, None if wrong else scorer))
        wrong += [
            f"{submission.pack_member(each.result)}: {each.result.cell.label}: {problem}"
            for each in checked
            for problem in each.problems
        ]
        if not checked and not wrong:
            wrong.append("there are no results in it")
        return Submitted(checked, tuple(wrong))


def _of_identity(result: Result) -> Iterator[str]:
    if not holds(result.identity):
        yield "identity.digest is not that of its parts"
    current = result.identity.schema_version > 1
    if current and result.recipe and recipe_digest(result.recipe) != result.identity.recipe:
        yield "recipe is not the one that identity.recipe stands for"


def _tasks(result: Result, registry: Registry) -> dict[str, TaskEntry]:
    names = {task: f"{result.cell.track}/{task}" for task in result.cell.tasks}
    return {task: registry.tasks[name] for task, name in names.items() if name in registry.tasks}
