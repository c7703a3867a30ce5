"""The code of cells under the files as they are now, remembered until one of them changes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from suite.planning import fingerprint
from suite.planning.cell_code import PACKAGE, CellCode, Code
from suite.planning.source import Place
from suite.planning.tokens import Stream
from suite.registry.cache import cache_folder, keep
from suite.registry.schema import BackboneEntry, MethodEntry, Scale


@dataclass
class _State:
    """What is known about the code as long as all files have the same digest."""

    files: str
    code: CellCode
    cells: dict[str, Code] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    has_news: bool = False


_states: dict[Path, _State] = {}
"""By the file of the cache that keeps it."""
_streams: dict[str, dict[Place, Stream]] = {}
"""Of the package, by the digest of its files."""


class Codes:
    """Answers for one plan, which reads the state of the files once."""

    def __init__(self) -> None:
        self._of_folder: dict[Path, _State] = {}

    def of(
        self, entry: MethodEntry, options: Iterable[str], backbone: BackboneEntry, scale: Scale
    ) -> Code:
        """The code of a method's cells; see `CellCode.of`."""
        state = self._state(entry)
        names = sorted(options)
        kind = [backbone.family, backbone.does, backbone.source.library]
        key = json.dumps([entry.python_path.name, names, *kind, scale])
        if key not in state.cells:
            state.cells[key] = state.code.of(entry, names, backbone, scale)
            state.has_news = True
        return state.cells[key]

    def metrics(self, names: Iterable[str], entry: MethodEntry) -> str:
        """The code of a task's metrics, in a cell of this method."""
        state = self._state(entry)
        names = tuple(sorted(names))
        key = " ".join(names)
        if key not in state.metrics:
            state.metrics[key] = state.code.metrics(names, entry)
            state.has_news = True
        return state.metrics[key]

    def _state(self, entry: MethodEntry) -> _State:
        methods = entry.python_path.parent
        if methods not in self._of_folder:
            self._of_folder[methods] = _current(methods)
        return self._of_folder[methods]


def remember() -> None:
    """Keep what was computed for the next process, in the user's cache folder."""
    fingerprint.remember()
    for path, state in _states.items():
        if state.has_news:
            cells = {key: [code.digest, code.parts] for key, code in state.cells.items()}
            text = json.dumps({"files": state.files, "cells": cells, "metrics": state.metrics})
            state.has_news = not keep(path, text)


def _current(methods: Path) -> _State:
    """The state of the files of the package and of a folder of methods."""
    # Read each time: a size and a time of modification would miss some quick edits.
    files, of_package = sha256(), ""
    for folder in (PACKAGE, methods):
        for path in sorted(filter(Path.is_file, folder.rglob("*.py"))):
            content = sha256(path.read_bytes()).hexdigest()
            files.update(f"{path.relative_to(folder)}\0{content}\n".encode())
        of_package = of_package or files.hexdigest()
    name = sha256(f"{PACKAGE}\0{methods.resolve()}".encode()).hexdigest()[:16]
    path = cache_folder() / "code" / f"{name}.json"
    state = _states.get(path)
    if state is None or state.files != files.hexdigest():
        code = CellCode(streams=_streams.setdefault(of_package, {}))
        state = _read(path, files.hexdigest(), code) or _State(files.hexdigest(), code)
        _states[path] = state
    return state


def _read(path: Path, files: str, code: CellCode) -> _State | None:
    try:
        kept = json.loads(path.read_text())
        if kept["files"] != files:
            return None
        cells = {key: Code(digest, parts) for key, (digest, parts) in kept["cells"].items()}
        return _State(files, code, cells, kept["metrics"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
