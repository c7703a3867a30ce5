"""`list` and `show`."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from suite.cli.selection import history_with_warnings, results_folder
from suite.console import coloured, out, out_json, say, shown, table
from suite.errors import UserError
from suite.registry import Registry, load
from suite.registry.names import did_you_mean, normal
from suite.registry.schema import FileEntry, MethodEntry, Scale, TaskEntry

Row = tuple[str, ...]


def list_entries(options: argparse.Namespace) -> int:
    """Print one kind of entry as a table; broken ones are in it."""
    if options.what == "results":
        header, rows = _results(options.out)
        broken: list[Row] = []
    else:
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
        where = f" in {results_folder(options.out)}" if options.what == "results" else ""
        say(f"no {options.what}{where}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print every entry of this name."""
    registry = load(options.registry)
    entries: dict[str, list[tuple[str, FileEntry]]] = {}
    for kind, mapping in _kinds(registry):
        for name, entry in mapping.items():
            for called in {normal(name), normal(entry.name)}:
                entries.setdefault(called, []).append((kind, entry))
    for broken in registry.broken:
        if normal(options.name) == normal(broken.name):
            raise UserError("\n".join(map(str, broken.problems)))
    found = entries.get(normal(options.name))
    if not found:
        raise UserError(f"nothing is called '{options.name}'{did_you_mean(options.name, entries)}")
    out("\n\n".join(_described(kind, entry) for kind, entry in found))
    return 0


def _kinds(registry: Registry) -> Iterable[tuple[str, dict[str, FileEntry]]]:
    return (
        ("method", dict(registry.methods)),
        ("task", dict(registry.tasks)),
        ("track", dict(registry.tracks)),
        ("backbone", dict(registry.backbones)),
    )


def _described(kind: str, entry: FileEntry) -> str:
    lines = [coloured(f"{kind} {entry.name}", "bold"), f"  file: {shown(entry.path)}"]
    if isinstance(entry, MethodEntry):
        lines.append(f"  code: {shown(entry.python_path)}")
    fields = entry.model_dump(mode="json", exclude={"schema_version", "name"}, exclude_unset=True)
    return "\n".join([*lines, *_tree(fields, "  ")])


def _tree(value: object, indent: str) -> Iterable[str]:
    """Plain indented lines: keys, and after them values that fit."""
    items: Iterable[tuple[str, object]]
    if isinstance(value, dict):
        items = ((f"{key}:", item) for key, item in value.items())
    elif isinstance(value, list):
        items = (("-", item) for item in value)
    else:
        return
    for head, item in items:
        if isinstance(item, list) and not any(isinstance(part, dict | list) for part in item):
            item = ", ".join(map(str, item))
        nested = isinstance(item, dict | list)
        yield f"{indent}{head}" if nested else f"{indent}{head} {str(item).strip()}"
        yield from _tree(item, indent + "  ")


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


def _results(folder: Path) -> tuple[Row, list[Row]]:
    rows: list[Row] = [
        (past.cell.label, past.cell.scale, past.status, past.identity.digest[:8], past.reason)
        for past in history_with_warnings(folder).values()
    ]
    return ("cell", "scale", "status", "identity", "reason"), rows


_LISTINGS = {"methods": _methods, "tasks": _tasks, "tracks": _tracks, "backbones": _backbones}
