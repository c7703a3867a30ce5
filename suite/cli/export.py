"""`export` and `push`: a cell's model as a folder for other programs, and to the hub."""

import argparse
import fnmatch

from suite.cli.selection import load_with_warnings, results_folder, warned
from suite.console import out, say, shown
from suite.errors import UserError
from suite.registry.names import did_you_mean
from suite.results.folder import Lookup, read_history
from suite.results.records import CellKey, Result

FORMS = {
    "peft": "an adapter of peft",
    "weights": "the backbone's own network with other weights",
    "program": "a traced program of torch",
}


def export(options: argparse.Namespace) -> int:
    """Write the model of one cell."""
    from suite.export.folder import export
    from suite.export.subject import subject_of

    cell = _cell(options)
    result = Lookup(options.out, Result).get(cell)
    assert result is not None, "it has just been listed"
    registry = load_with_warnings(options.registry)
    subject = subject_of(result, options.out, options.task, registry)
    task = "" if len(cell.tasks) == 1 else f".{subject.task.name}"
    folder = options.folder or options.out / "exports" / f"{cell.label}{task}.{options.to}"
    form = export(subject, options.to, folder, options.out, registry)
    out(shown(folder))
    say(f"{FORMS[form]}; README.md says how to use it")
    return 0


def push(options: argparse.Namespace) -> int:
    """Send an exported folder to the hub."""
    from suite.export.hub import push

    out(push(options.folder, options.repo, private=options.private))
    return 0


def _cell(options: argparse.Namespace) -> CellKey:
    """The one cell that is meant, by its label or a glob."""
    history = warned(read_history(options.out))
    labels = {cell.label: cell for cell in history}
    found = [cell for label, cell in labels.items() if fnmatch.fnmatch(label, options.cell)]
    # The brackets of `lora[rank=4]` are a set of characters to a glob.
    found = [labels[options.cell]] if options.cell in labels else found
    if not found:
        raise UserError(
            f"no result '{options.cell}' in {results_folder(options.out)}"
            f"{did_you_mean(options.cell, labels)}; see: python -m suite list results"
        )
    if len(found) > 1:
        names = ", ".join(cell.label for cell in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise UserError(f"'{options.cell}' is {len(found)} cells, say which: {names}{more}")
    return found[0]
