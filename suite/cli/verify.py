"""`verify`."""

import argparse
from fnmatch import fnmatchcase

from suite.cli.selection import load_with_warnings
from suite.console import coloured, out, say
from suite.errors import UserError
from suite.planning.identity import holds, recipe_digest
from suite.registry import Registry
from suite.registry.schema import TaskEntry
from suite.results.folder import delta_path, read_results
from suite.results.records import Result
from suite.results.verify import problems


def verify(options: argparse.Namespace) -> int:
    """Name every result that contradicts itself or its delta; 1 if there is one."""
    registry = load_with_warnings(options.registry)
    found = read_results(options.out)
    for reason in found.left_out:
        out(f"{reason.place}: {reason.reason}")
    chosen = [
        result
        for result in found.values()
        if not options.cells
        or any(fnmatchcase(result.cell.label, pattern) for pattern in options.cells)
    ]
    if not chosen and not found.left_out:
        raise UserError(f"--out {options.out}: there is no such result")
    wrong = len(found.left_out)
    without_delta = 0
    for result in chosen:
        said = [*_of_identity(result), *problems(result, _tasks(result, registry))]
        if options.rescore and not said and result.status == "ok":
            delta = delta_path(options.out, result.cell)
            if delta.is_file():
                from suite.engine import rescore
                from suite.engine.pool import resolve_device

                said = rescore.problems(result, delta, registry, resolve_device(options.device))
            else:
                without_delta += 1
        for problem in said:
            out(f"{coloured(result.cell.label, 'red')}: {problem}")
        wrong += bool(said)
    if without_delta:
        say(f"{without_delta} results have no delta here and were not scored again")
    say(f"{len(chosen)} results, {wrong or 'none'} wrong.")
    return 1 if wrong else 0


def _of_identity(result: Result) -> list[str]:
    found = []
    if not holds(result.identity):
        found.append("identity.digest is not that of its parts")
    current = result.identity.schema_version > 1
    if current and result.recipe and recipe_digest(result.recipe) != result.identity.recipe:
        found.append("recipe is not the one that identity.recipe stands for")
    return found


def _tasks(result: Result, registry: Registry) -> dict[str, TaskEntry]:
    names = {task: f"{result.cell.track}/{task}" for task in result.cell.tasks}
    return {task: registry.tasks[name] for task, name in names.items() if name in registry.tasks}
