"""Finds every registry file, reads it, and collects every mistake in all of them."""

import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from suite.errors import UserError
from suite.registry import checks
from suite.registry.cache import given_backbones
from suite.registry.entries import Broken, Kind, Registry
from suite.registry.messages import validate
from suite.registry.names import did_you_mean
from suite.registry.problems import Problem
from suite.registry.rates import FOLDER as RATES
from suite.registry.remembered import remembered
from suite.registry.schema import (
    BackboneEntry,
    FileEntry,
    MethodEntry,
    MethodRates,
    PublishedRow,
    TaskEntry,
    TrackEntry,
)
from suite.registry.source_checks import Mistakes
from suite.registry.yaml import Document, read

PACKAGE = Path(__file__).parents[1]
PARTS = ("methods", "tasks", "backbones")
"""The folders of a registry; it need not have all."""
CATALOGS = (PACKAGE / "backbones" / "catalog", PACKAGE / "mini" / "catalog")
"""Backbones that ship with the package: those of the full scale, and the embedded ones."""
E = TypeVar("E", bound=FileEntry)


@dataclass
class _Loaded(Generic[E]):
    """One file while it is being read: an entry, mistakes, or both."""

    kind: Kind
    name: str
    document: Document
    entry: E | None

    def note(self, mistakes: Mistakes) -> None:
        self.document.problems += [self.document.problem(*mistake) for mistake in mistakes]

    @property
    def good(self) -> E | None:
        return None if self.document.problems else self.entry


def load(folder: Path | None = None) -> Registry:
    """Read every entry. Broken ones are in `Registry.broken`; nothing is raised for them.

    Folders are searched in this order: `folder` (or the one that SUITE_REGISTRY names), the
    current directory, the entries shipped with the package. A method, backbone or whole track
    found earlier hides one of the same name found later.

    Raises `UserError` if a folder that was asked for is not a registry.
    """
    roots = search_path(folder)
    catalogs = [*(root / "backbones" for root in roots), *CATALOGS, given_backbones()]
    folders = [root / part for root in roots for part in ("methods", "tasks")]
    return remembered([*folders, *catalogs], lambda: _load(roots, catalogs))


def _load(roots: tuple[Path, ...], catalogs: Sequence[Path]) -> Registry:
    methods = _load_folders((root / "methods" for root in roots), "method", MethodEntry)
    for method in methods.values():
        if method.entry:
            method.note(checks.method_mistakes(method.entry))
    backbones = _load_folders(catalogs, "backbone", BackboneEntry)
    for backbone in backbones.values():
        if backbone.entry:
            backbone.note(checks.backbone_mistakes(backbone.entry))
    tracks, tasks = _load_tracks(roots, backbones)
    for track in tracks.values():
        if track.entry:
            track.note(checks.start_mistakes(track.entry, *_good_and_broken(tracks)))
    for method in methods.values():
        if method.entry:
            method.note(checks.exception_mistakes(method.entry, *_good_and_broken(tracks)))
    stray = _load_rates(roots, methods, set(tracks), set(backbones))
    everything: list[_Loaded[Any]] = [
        *methods.values(),
        *stray,
        *backbones.values(),
        *tracks.values(),
        *tasks.values(),
    ]
    return Registry(
        methods=_good(methods),
        tasks=_good(tasks),
        tracks=_good(tracks),
        backbones=_good(backbones),
        broken=tuple(
            Broken(item.kind, item.name, item.document.path, tuple(item.document.problems))
            for item in everything
            if item.document.problems
        ),
        folders=roots,
    )


def search_path(folder: Path | None) -> tuple[Path, ...]:
    """The registry folders in the order of their precedence."""
    asked = folder or (Path(named) if (named := os.environ.get("SUITE_REGISTRY")) else None)
    roots = []
    if asked:
        if not any((asked / part).is_dir() for part in PARTS):
            raise UserError(f"{asked} is not a registry: it has no folder {' or '.join(PARTS)}")
        roots.append(asked.resolve())
    here = Path.cwd()
    own = ("methods/*.yaml", "tasks/*/track.yaml", "backbones/*.yaml")
    if any(any(here.glob(pattern)) for pattern in own):
        roots.append(here)
    roots.append(own_registry())
    return tuple(dict.fromkeys(roots))


def own_registry() -> Path:
    """The folder of the methods and tasks that come with the package."""
    packaged = PACKAGE / "_registry"
    return packaged if packaged.is_dir() else PACKAGE.parent


def _load_tracks(
    roots: Iterable[Path], backbones: dict[str, _Loaded[BackboneEntry]]
) -> tuple[dict[str, _Loaded[TrackEntry]], dict[str, _Loaded[TaskEntry]]]:
    tracks: dict[str, _Loaded[TrackEntry]] = {}
    tasks: dict[str, _Loaded[TaskEntry]] = {}
    for folder in (folder for root in roots for folder in sorted((root / "tasks").glob("*/"))):
        files = {path.stem: path for path in _yaml_files(folder)}
        if not files or folder.name in tracks:
            continue
        track_file = files.pop("track", folder / "track.yaml")
        published_file = files.pop("published", None)
        own = {
            name: _load_file(path, "task", f"{folder.name}/{name}", TaskEntry)
            for name, path in files.items()
        }
        for name, item in own.items():
            if item.entry:
                item.entry = item.entry.model_copy(update={"track": folder.name})
                item.note(checks.name_mistakes(item.entry, name))
                item.note(checks.task_mistakes(item.entry))
        track = _load_track(folder.name, track_file, published_file)
        if track.entry:
            track.note(
                checks.track_mistakes(
                    track.entry, *_good_and_broken(own), *_good_and_broken(backbones)
                )
            )
        tracks[folder.name] = track
        tasks |= {item.name: item for item in own.values()}
    return tracks, tasks


def _load_track(name: str, path: Path, published: Path | None) -> _Loaded[TrackEntry]:
    if not path.is_file():
        message = "missing: a folder with tasks is a track and needs a track.yaml"
        document = Document(path, problems=[Problem(path, 1, 1, "", message)])
        return _Loaded("track", name, document, None)
    track = _load_file(path, "track", name, TrackEntry)
    if track.entry:
        track.note(checks.name_mistakes(track.entry, name))
    if published:
        document = read(published)
        rows = validate(document, tuple[PublishedRow, ...], _adapter(tuple[PublishedRow, ...]))
        track.document.problems += document.problems
        if track.entry and rows:
            track.entry = track.entry.model_copy(
                update={"published": (*track.entry.published, *rows)}
            )
    return track


def _load_rates(
    roots: Sequence[Path],
    methods: Mapping[str, _Loaded[MethodEntry]],
    tracks: Collection[str],
    backbones: Collection[str],
) -> list[_Loaded[Any]]:
    """Give methods the learning rates that searches found, the first folder's before a later one's.
    A mistake in such a file is one of its method; files without a method are returned."""
    stray = []
    for path in (path for root in roots for path in _yaml_files(root / "methods" / RATES)):
        item = _load_file(path, "method", path.stem, MethodRates)
        if item.entry:
            item.note(checks.name_mistakes(item.entry, path.stem))
            item.note(checks.rates_mistakes(item.entry, tracks, backbones))
        method = methods.get(path.stem)
        if method is None:
            message = f"there is no method '{path.stem}'{did_you_mean(path.stem, methods)}"
            item.document.problems.append(Problem(path, 1, 1, "", message))
            stray.append(item)
            continue
        root, home = path.parents[2], method.document.path.parents[1]
        if roots.index(root) > roots.index(home):
            continue  # It is about the method of that name which this one hides.
        method.document.problems += item.document.problems
        if method.entry and item.good:
            rates = {track: dict(own) for track, own in item.good.rates.items()}
            for track, own in method.entry.found_rates.items():
                rates[track] = rates.get(track, {}) | own
            method.entry = method.entry.model_copy(update={"found_rates": rates})
    return stray


def _load_folders(folders: Iterable[Path], kind: Kind, model: type[E]) -> dict[str, _Loaded[E]]:
    found: dict[str, _Loaded[E]] = {}
    for path in (path for folder in folders for path in _yaml_files(folder)):
        if path.stem not in found:
            item = _load_file(path, kind, path.stem, model)
            if item.entry:
                item.note(checks.name_mistakes(item.entry, path.stem))
            found[path.stem] = item
        elif found[path.stem].document.path.parent == path.parent:
            first = found[path.stem].document
            message = f"{path.name} lies beside it: keep one of the two"
            first.problems.append(Problem(first.path, 1, 1, "", message))
    return found


def _load_file(path: Path, kind: Kind, name: str, model: type[E]) -> _Loaded[E]:
    if path.suffix != ".yaml":
        message = f"registry files end in .yaml: rename it to {path.stem}.yaml"
        return _Loaded(
            kind, name, Document(path, problems=[Problem(path, 1, 1, "", message)]), None
        )
    document = read(path)
    if kind == "task":
        large = checks.size_mistakes(document.data)
        document.problems += [document.problem(*mistake) for mistake in large]
    entry = validate(document, model, _adapter(model))
    return _Loaded(kind, name, document, entry and entry.model_copy(update={"path": path}))


def _yaml_files(folder: Path) -> Iterator[Path]:
    """Files that are, or were meant to be, registry files."""
    if folder.is_dir():
        endings = (".yaml", ".yml")
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _good(items: dict[str, _Loaded[E]]) -> dict[str, E]:
    return {name: entry for name in sorted(items) if (entry := items[name].good)}


def _good_and_broken(items: dict[str, _Loaded[E]]) -> tuple[dict[str, E], set[str]]:
    good = _good(items)
    return good, set(items) - set(good)
