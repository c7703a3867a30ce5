"""`show`: everything that is known of one method, task, track or backbone."""

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any

from suite.console import coloured, out, out_json, shown, table
from suite.errors import UserError
from suite.registry import Registry, load
from suite.registry.names import did_you_mean, normal
from suite.registry.schema import FileEntry, MethodEntry, TrackEntry

Row = tuple[str, ...]

_CELL = re.compile(r"[^.]+\.[^.]+\.[^.]+\.s\d+")
"""The name of a result, as `list results` prints it; settings aside, no part has a dot."""


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
        near = did_you_mean(options.name, entries)
        if _CELL.fullmatch(re.sub(r"\[.*\]", "", options.name)):
            near = f"; if it is a result: python -m suite why '{options.name}'"
        raise UserError(f"nothing is called '{options.name}'{near}")
    if options.json:
        out_json([_as_json(kind, entry) for kind, entry in found])
    else:
        out("\n\n".join(_described(kind, entry, registry) for kind, entry in found))
    return 0


def _kinds(registry: Registry) -> Iterable[tuple[str, dict[str, FileEntry]]]:
    return (
        ("method", dict(registry.methods)),
        ("task", dict(registry.tasks)),
        ("track", dict(registry.tracks)),
        ("backbone", dict(registry.backbones)),
    )


def _described(kind: str, entry: FileEntry, registry: Registry) -> str:
    lines = [coloured(f"{kind} {entry.name}", "bold"), f"  file: {shown(entry.path)}"]
    if isinstance(entry, MethodEntry):
        lines.append(f"  code: {shown(entry.python_path)}")
    if isinstance(entry, TrackEntry):
        return "\n".join([*lines, *_track(entry, registry)])
    return "\n".join([*lines, *_tree(_fields(entry), "  ")])


def _fields(entry: FileEntry) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude={"schema_version", "name"}, exclude_unset=True)


def _as_json(kind: str, entry: FileEntry) -> dict[str, object]:
    return {"kind": kind, "name": entry.name, "file": str(entry.path), **_fields(entry)}


def _track(entry: TrackEntry, registry: Registry) -> Iterable[str]:
    """A page to read: tasks, recipes and published results are a line each."""
    yield f"  description: {entry.description}"
    yield f"  modality: {entry.modality}"
    yield f"  score: {entry.score} over {len(entry.tasks)} tasks"
    for scale, names in entry.backbones.items():
        yield f"  backbones, {scale}: {', '.join(names)}"
    tasks = [_task(name, entry, registry) for name in entry.tasks]
    yield from _section("tasks", ("task", "output", "metrics", "description"), tasks)
    recipes = [
        (scale, family, ", ".join(f"{key} {value}" for key, value in changes.written.items()))
        for scale, by_family in entry.recipe.items()
        for family, changes in by_family.items()
    ]
    yield from _section("recipe", ("scale", "family", "other than the default"), recipes)
    published = [
        (row.backbone, f"{row.score:.1f}", _total(row.total_x), row.label)
        for row in sorted(entry.published, key=lambda row: (row.backbone, -row.score))
    ]
    header = ("backbone", "score", "total ×", "method")
    yield from _section("published results (sources: --json)", header, published)


def _task(name: str, track: TrackEntry, registry: Registry) -> Row:
    task = registry.tasks.get(f"{track.name}/{name}")
    if task is None:
        return name, "broken", "", ""
    return name, task.output.type, " ".join(task.metrics), task.description


def _total(total_x: float | None) -> str:
    return "-" if total_x is None else f"{total_x:g}"


def _section(title: str, header: Row, rows: Sequence[Row]) -> Iterable[str]:
    if rows:
        yield ""
        yield f"  {title}"
        yield from (f"    {line}" for line in table(header, rows).splitlines())


def _tree(value: object, indent: str) -> Iterable[str]:
    """Plain indented lines: keys, followed by the values that fit on the line."""
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
