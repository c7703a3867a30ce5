"""`list`."""

import argparse

from suite.cli.selection import results_folder, warned
from suite.console import coloured, out, out_json, say, table
from suite.registry import Registry, load
from suite.registry.schema import Scale, TaskEntry
from suite.results.folder import read_listed
from suite.results.history import Listed

Row = tuple[str, ...]


def list_entries(options: argparse.Namespace) -> int:
    """Print one kind of entry as a table, broken entries included."""
    if options.what == "results":
        return _list_results(options)
    registry = load(options.registry)
    header, rows = _LISTINGS[options.what](registry)
    broken = [
        (entry.name, f"BROKEN {entry.problems[0]}")
        for entry in registry.broken
        if f"{entry.kind}s" == options.what
    ]
    if options.json:
        out_json(
            [dict(zip(header, row, strict=True)) for row in rows]
            + [{"name": name, "broken": problem} for name, problem in broken]
        )
        return 0
    if rows:
        out(table(header, rows))
    for name, problem in broken:
        out(f"{name}  {coloured(problem, 'red')}")
    if not rows and not broken:
        say(f"no {options.what}")
    return 0


def _list_results(options: argparse.Namespace) -> int:
    """Print every result, with its score and what it stores."""
    found = [*warned(read_listed(options.out)).values()]
    if options.json:
        out_json([_as_json(result) for result in found])
    elif found:
        header = ("cell", "scale", "status", "score", "stored ×", "identity", "reason")
        out(table(header, map(_row, found)))
    else:
        say(f"no results in {results_folder(options.out)}")
    return 0


def _row(result: Listed) -> Row:
    score, stored = result.score, result.stored_x
    return (
        result.cell.label,
        result.cell.scale,
        result.status,
        "-" if score is None else f"{score:.1f}",
        "-" if stored is None else f"{stored:.3g}",
        result.identity.digest[:8],
        result.reason,
    )


def _as_json(result: Listed) -> dict[str, object]:
    return {
        "label": result.cell.label,
        **result.cell.model_dump(mode="json"),
        "setting": result.cell.setting,
        "status": result.status,
        "score": result.score,
        "scores": {one.task: one.score for one in result.scores},
        "stored_x": result.stored_x,
        "options": result.options,
        "identity": result.identity.digest,
        "reason": result.reason,
    }


def _methods(registry: Registry) -> tuple[Row, list[Row]]:
    rows: list[Row] = [
        (entry.name, entry.regime, " ".join(entry.families), entry.title)
        for entry in registry.methods.values()
    ]
    return ("name", "regime", "families", "title"), rows


def _tasks(registry: Registry) -> tuple[Row, list[Row]]:
    rows: list[Row] = [
        (name, entry.output.type, " ".join(entry.metrics), _scales(entry), entry.description)
        for name, entry in registry.tasks.items()
    ]
    return ("name", "output", "metrics", "scales", "description"), rows


def _scales(entry: TaskEntry) -> str:
    return " ".join(scale for scale in Scale if entry.sources.at(scale))


def _tracks(registry: Registry) -> tuple[Row, list[Row]]:
    rows = [
        (
            entry.name,
            entry.modality,
            str(len(entry.tasks)),
            *(" ".join(entry.backbones.get(scale, ())) or "-" for scale in Scale),
            entry.description,
        )
        for entry in registry.tracks.values()
    ]
    columns = (f"{scale} backbones" for scale in Scale)
    return ("name", "modality", "tasks", *columns, "description"), rows


def _backbones(registry: Registry) -> tuple[Row, list[Row]]:
    rows: list[Row] = [
        (entry.name, entry.family, entry.modality, entry.scale, entry.description)
        for entry in registry.backbones.values()
    ]
    return ("name", "family", "modality", "scale", "description"), rows


_LISTINGS = {"methods": _methods, "tasks": _tasks, "tracks": _tracks, "backbones": _backbones}
