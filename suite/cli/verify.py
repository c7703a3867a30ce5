"""`verify`."""

import argparse
from fnmatch import fnmatchcase
from pathlib import Path

from suite.cli.checking import check, rescorer, submitted
from suite.cli.selection import load_with_warnings
from suite.console import coloured, out, say, shown
from suite.errors import UserError
from suite.results.folder import read_results
from suite.results.submission import SUFFIX


def verify(options: argparse.Namespace) -> int:
    """Name every result that contradicts itself or its delta; 1 if there is one."""
    registry = load_with_warnings(options.registry)
    scorer = rescorer(options, registry) if options.rescore else None
    files = [word for word in options.cells if word.endswith(SUFFIX)]
    if files:
        if len(options.cells) > 1:
            raise UserError(f"{files[0]}: a submission is verified alone, and whole")
        opened = submitted(Path(files[0]), registry, scorer)
        return report(files[0], opened.wrong, len(opened.results))
    found = read_results(options.out)
    for reason in found.left_out:
        out(f"{reason.place}: {reason.reason}")
    chosen = [
        result
        for result in found.values()
        if not options.cells
        or result.cell.label in options.cells
        or any(fnmatchcase(result.cell.label, pattern) for pattern in options.cells)
    ]
    if not chosen and not found.left_out:
        raise UserError(f"--out {options.out}: there is no such result")
    wrong = len(found.left_out)
    without_delta = 0
    for each in check(chosen, options.out, registry, scorer):
        for problem in each.problems:
            out(f"{coloured(each.result.cell.label, 'red')}: {problem}")
        wrong += bool(each.problems)
        good = each.result.status == "ok" and not each.problems
        without_delta += scorer is not None and good and each.rescored is None
    if without_delta:
        say(f"{without_delta} results have no delta here and were not scored again")
    say(f"{len(chosen)} results, {wrong or 'none'} wrong.")
    return 1 if wrong else 0


def report(file: str | Path, wrong: tuple[str, ...], results: int) -> int:
    """Print what is wrong with a submission; 1 if anything is."""
    for line in wrong:
        out(f"{coloured(shown(Path(file)), 'red')}: {line}")
    say(f"{results} results, {'the submission is refused' if wrong else 'none wrong'}.")
    return 1 if wrong else 0
