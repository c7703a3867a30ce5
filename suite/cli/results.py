"""`why`, `leaderboard` and `pack`."""

import argparse
import fnmatch
from pathlib import Path

from suite.cli.selection import load_with_warnings, results_folder, warned
from suite.console import out, out_json, say, shown
from suite.errors import UserError
from suite.planning.identity import differences
from suite.planning.outdated import request_for
from suite.planning.plan import plan
from suite.registry import Registry
from suite.registry.names import did_you_mean
from suite.results.folder import read_history
from suite.results.history import Past
from suite.results.packing import is_packed
from suite.results.packing import pack as pack_results


def why(options: argparse.Namespace) -> int:
    """Print what each matching result depends on, and what the plan says about it today."""
    history = warned(read_history(options.out))
    # The brackets of `lora[rank=4]` are a set of characters to a pattern.
    found = [
        past
        for past in history.values()
        if past.cell.label == options.cell or fnmatch.fnmatch(past.cell.label, options.cell)
    ]
    if not found:
        labels = [past.cell.label for past in history.values()]
        raise UserError(
            f"no result '{options.cell}' in {results_folder(options.out)}"
            f"{did_you_mean(options.cell, labels)}; see: python -m suite list results"
        )
    registry = load_with_warnings(options.registry)
    if options.json:
        out_json([_as_json(past, registry) for past in found])
    else:
        out("\n\n".join(_explained(past, registry) for past in found))
    return 0


def leaderboard(options: argparse.Namespace) -> int:
    """Write the leaderboards from the results, or their rows to one file, or compare them with
    what is there."""
    from suite import leaderboards

    _require_results(options.out)
    registry = load_with_warnings(options.registry)
    if options.export:
        leaderboards.export_to(options.export, options.out, registry)
        out(shown(options.export))
        return 0
    if options.check:
        stale = leaderboards.check(options.out, registry)
        for line in stale:
            out(line)
        if stale:
            say(
                "not what the results give; to write them again: "
                f"python -m suite leaderboard --out {options.out}"
            )
        return 1 if stale else 0
    for path in leaderboards.build(options.out, registry):
        out(shown(path))
    return 0


def pack(options: argparse.Namespace) -> int:
    """Pack the results, one file a board, settle what a merge left, and write the leaderboards."""
    from suite import leaderboards

    _require_results(options.out)
    registry = load_with_warnings(options.registry)
    packed = pack_results(options.out)
    for path in packed.written:
        out(shown(path))
    if packed.replaced:
        say(f"{packed.replaced} results were replaced by later ones of the same cells")
    for path in leaderboards.build(options.out, registry):
        out(shown(path))
    return 0


def _require_results(folder: Path) -> None:
    if not results_folder(folder).is_dir() and not is_packed(folder):
        raise UserError(f"--out {folder}: there is no folder {results_folder(folder)}")


def _explained(past: Past, registry: Registry) -> str:
    parts = past.identity
    lines = [
        f"{past.cell.label} ({past.cell.scale})",
        f"  status    {past.status}{': ' + past.reason if past.reason else ''}",
        f"  log       {past.log or '-'}",
        f"  identity  {parts.digest} (scheme {parts.schema_version})",
        f"    method    {parts.method}",
        f"    code      {parts.code or '-'}",
        *(f"      {name:<9} {digest}" for name, digest in parts.parts.items()),
        f"    recipe    {parts.recipe}",
        f"    backbone  {parts.backbone}",
        *(f"    task      {digest} {name}" for name, digest in parts.tasks.items()),
        f"    seed      {parts.seed}",
        f"  today     {_today(past, registry)}",
    ]
    return "\n".join(lines)


def _as_json(past: Past, registry: Registry) -> dict[str, object]:
    kept = past.model_dump(mode="json", exclude={"schema_version", "environment"})
    return {"label": past.cell.label, **kept, "today": _today(past, registry)}


def _today(past: Past, registry: Registry) -> str:
    """What today's registry says about the cell, under its setting."""
    try:
        planned = plan(request_for([past]), registry).planned
    except UserError as error:
        say(f"warning: {error}")
        return "its entries are gone or broken"
    item = next((each for each in planned if each.cell.key == past.cell), None)
    if item is None:
        return "its entries are gone or broken"
    if item.action == "missing":
        return item.reason
    return differences(past, item.cell) or "the same identity: the result is reused"
