"""`new`: write the files of a new method, task or backbone, ready for `validate`."""

import argparse
import importlib.util
import keyword
import os
import re
import shlex
from pathlib import Path

from suite.cli import templates
from suite.console import out, say, shown
from suite.errors import UserError
from suite.planning.given import as_yaml, entry_for, is_given, known
from suite.registry import load
from suite.registry.names import normal
from suite.registry.schema import Modality, Scale, TrackEntry
from suite.registry.yaml import read


def new(options: argparse.Namespace) -> int:
    """Write the files and say what to do next."""
    root = options.registry or Path(os.environ.get("SUITE_REGISTRY") or Path.cwd())
    if options.kind == "method":
        written = _new_method(root, options.name)
        name = options.name
    elif options.kind == "backbone":
        written = _new_backbone(root, options.name, options.registry)
        name = written[0].stem
    else:
        written = _new_task(root, options.name, options.modality, Scale(options.scale))
        name = options.name
    for path in written:
        out(shown(path))
    where = f" --registry {shlex.quote(str(options.registry))}" if options.registry else ""
    say(
        f"edit these, then: python -m suite validate {name}{where} && "
        f"python -m suite check {name}{where}"
    )
    return 0


def _new_method(root: Path, name: str) -> list[Path]:
    _require_plain(name)
    folder = root / "methods"
    class_name = "".join(part.capitalize() for part in normal(name).split("_"))
    if not class_name.isidentifier() or class_name in _words(templates.METHOD_PYTHON):
        class_name = f"Method{class_name}"
    _require_free(folder / f"{name}.yaml", folder / f"{name}.py")
    return [
        _write(folder / f"{name}.yaml", templates.METHOD_YAML.replace("NAME", name)),
        _write(folder / f"{name}.py", templates.METHOD_PYTHON.replace("CLASS", class_name)),
    ]


def _new_backbone(root: Path, word: str, registry: Path | None) -> list[Path]:
    """The entry of a hub id or a folder; what is missing of it is brought from the hub."""
    if not is_given(word):
        raise UserError(
            f"'{word}' is no hub id or folder: write timm:ID, hf:OWNER/NAME or ./FOLDER"
        )
    present = load(registry) if registry is None or any(registry.glob("*/")) else load()
    if own := known(present, word):
        raise UserError(f"{word} is the backbone '{own.name}' already, in {shown(own.path)}")
    entry = entry_for(word, present, fetch=True)
    path = root / "backbones" / f"{entry.name}.yaml"
    _require_free(path)
    return [_write(path, as_yaml(entry))]


def _new_task(root: Path, qualified: str, modality: Modality, scale: Scale) -> list[Path]:
    track_name, slash, name = qualified.partition("/")
    if not slash:
        raise UserError(f"a task lies in a track: python -m suite new task TRACK/{qualified}")
    _require_plain(track_name)
    _require_plain(name)
    if name in ("track", "published"):
        raise UserError(f"'{name}' is the name of another file of a track: choose another name")
    folder = root / "tasks" / track_name
    # A folder that is not a registry yet has no tracks of its own.
    track = load(root if (root / "tasks").is_dir() else None).tracks.get(track_name)
    if track and track.path.parent.resolve() != folder.resolve():
        raise UserError(
            f"track {track_name} lies in {shown(track.path.parent)}: run this there, "
            "or choose another track"
        )
    generator = folder / f"{normal(name)}.py"
    modality = track.modality if track else modality
    scales: tuple[Scale, ...] = tuple(track.backbones) if track else (scale,)
    generated = [generator] if Scale.MINI in scales else []
    _require_free(*generated, folder / f"{name}.yaml", *([] if track else [folder / "track.yaml"]))
    written = []
    if Scale.MINI in scales:
        written.append(_write(generator, templates.GENERATORS[modality]))
    digest = _digest_of(generator) if Scale.MINI in scales else ""
    text = templates.task_yaml(name, modality, scales, generator.name, digest)
    written.append(_write(folder / f"{name}.yaml", text))
    if track:
        _list_in_track(track, name)
        written.append(track.path)
    else:
        track_text = templates.track_yaml(track_name, modality, name, scale)
        written.append(_write(folder / "track.yaml", track_text))
    return written


def _list_in_track(track: TrackEntry, name: str) -> None:
    """Add the task after the last one, in the style in which the file lists them."""
    document = read(track.path)
    lines = track.path.read_text().splitlines(keepends=True)
    last = ("tasks", len(track.tasks) - 1)
    line, column = document.values[last]
    end_line, end_column = document.ends[last]
    text = lines[end_line - 1]
    before = lines[line - 1][: column - 1]
    addition = f"\n{before}{name}" if before.strip() == "-" else f", {name}"
    lines[end_line - 1] = text[: end_column - 1] + addition + text[end_column - 1 :]
    track.path.write_text("".join(lines))


def _digest_of(generator: Path) -> str:
    """The digest of the examples that the file's `make` returns."""
    spec = importlib.util.spec_from_file_location("generator", generator)
    assert spec is not None and spec.loader is not None, "a path that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make().digest()


def _words(text: str) -> set[str]:
    return {*re.findall(r"\w+", text), *keyword.kwlist}


def _require_plain(name: str) -> None:
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and name == name.lower() and name[0] in plain):
        raise UserError(f"'{name}': a name has lower-case letters, digits, - and _")


def _require_free(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise UserError(f"{shown(path)} exists: choose another name")


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be written ({error.strerror})") from None
    return path
