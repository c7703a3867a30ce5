"""Where data and weights lie, found without reading them.

Data sets: `$SUITE_DATA/datasets/HUB/CONFIG/SPLIT-*.parquet`, else the hub's cache; SUITE_DATA may
name several folders.
Weights: at the mini scale the package, or a folder `mini` beside the backbone's YAML; at the full
scale `$SUITE_DATA/models/ID/`, else the hub's cache.
Nothing is downloaded here; `python -m suite fetch` does that.
"""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suite.errors import UserError
from suite.planning.fingerprint import files_digest
from suite.registry.names import stays_inside
from suite.registry.schema import BackboneEntry, HubSource, TaskEntry
from suite.registry.source_checks import READ

EMBEDDED = Path(__file__).parents[1] / "mini"
MODEL_FILES = (".safetensors", ".json", ".txt", ".model")
"""What belongs to a model's identity: weights, configuration and tokenizer, not its card."""

_SHARD = re.compile(r"-(?P<number>\d+)-of-(?P<total>\d+)(-[0-9a-f]+)?\.parquet")
"""The end of a shard's name as the hub writes it, sometimes with a digest."""

UNSET = "SUITE_DATA is not set"
NO_FOLDER = " (what SUITE_DATA names is no folder)"
Origin = Literal["package", "SUITE_DATA", "hub cache", "folder"]


@dataclass(frozen=True)
class DatasetFiles:
    """The parquet files of the splits a task reads, by the task's own name of the split."""

    splits: Mapping[str, tuple[Path, ...]]
    origin: Origin
    fingerprint: str
    snapshot: "Snapshot | None" = None
    """Where the files lie in the hub's cache, if they do."""


@dataclass(frozen=True)
class Model:
    """The folder with a model's weights, configuration and tokenizer."""

    folder: Path
    origin: Origin
    fingerprint: str
    snapshot: "Snapshot | None" = None
    """The folder as the hub's cache knows it, if it lies there."""


@dataclass(frozen=True)
class HubFiles:
    """Files of a hub repository, as globs."""

    kind: Literal["model", "dataset"]
    repository: str
    revision: str | None
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """The folder of one commit of a hub repository in the hub's cache; its name is the commit."""

    hub: HubFiles
    folder: Path


@dataclass(frozen=True)
class Missing:
    """What was not found, where it was looked for, and how to get it."""

    what: str
    looked: tuple[str, ...]
    remedy: str
    hub: HubFiles | None = None
    """Where the hub has it; None if only the user can provide it."""

    def __str__(self) -> str:
        places = "".join(f"\n  looked in {place}" for place in self.looked)
        return f"{self.what} not found{places}\n  {self.remedy}"


def locate_dataset(task: TaskEntry) -> DatasetFiles | Missing:
    """The files of a task's full-scale data set. Raises `ValueError` if it has none."""
    source = task.sources.full
    if source is None:
        raise ValueError(f"{task.track}/{task.name} has no full-scale source")
    looked: list[str] = []
    roots = data_folders()
    for root in roots:
        splits = _parquet(_inside(root / "datasets", source.hub), source, looked)
        if splits:
            return DatasetFiles(splits, "SUITE_DATA", _splits_digest(splits))
        if not root.is_dir():
            looked[-1] += NO_FOLDER
    if not roots:
        looked.append(f"$SUITE_DATA/datasets/{source.hub}/{source.config} ({UNSET})")
    hub = None
    if not source.local_only:
        patterns = tuple(
            f"{folder}/{name}-*.parquet"
            for folder in _config_folders(source)
            for name in hub_splits(source).values()
        )
        hub = HubFiles("dataset", source.hub, source.revision, patterns)
        snapshot = _snapshot(hub, looked)
        cached = _parquet(snapshot, source, looked) if snapshot else None
        if snapshot and cached:
            return DatasetFiles(
                cached, "hub cache", f"{source.hub}@{snapshot.name}", Snapshot(hub, snapshot)
            )
    place = f"datasets/{source.hub}/{source.config}/SPLIT-00000-of-00001.parquet"
    return Missing(
        f"data set {source.hub} ({source.config}) of task {task.track}/{task.name}",
        tuple(looked),
        _remedy(f"--tasks {task.track}/{task.name}", source.local_only, place),
        hub,
    )


def locate_model(entry: BackboneEntry) -> Model | Missing:
    """The folder of a backbone's weights."""
    source = entry.source
    looked: list[str] = []
    if entry.scale.embedded:
        own = entry.path.parent != EMBEDDED / "catalog"
        folder = _inside(entry.path.parent / "mini" if own else EMBEDDED / "weights", source.id)
        if _complete(folder, source.library, looked):
            return Model(folder, "package", _model_digest(folder))
        remedy = "put them there" if own else "they ship with the package: install it again"
        return Missing(f"weights of backbone {entry.name}", tuple(looked), remedy)
    if source.folder is not None:
        folder = Path(source.folder)
        if _complete(folder, source.library, looked):
            return Model(folder, "folder", _model_digest(folder))
        return Missing(f"weights of backbone {entry.name}", tuple(looked), "put them there")
    roots = data_folders()
    for root in roots:
        folder = _inside(root / "models", source.id)
        if _complete(folder, source.library, looked):
            return Model(folder, "SUITE_DATA", _model_digest(folder))
        if not root.is_dir():
            looked[-1] += NO_FOLDER
    if not roots:
        looked.append(f"$SUITE_DATA/models/{source.id} ({UNSET})")
    hub = None
    if not source.local_only:
        patterns = tuple(f"*{ending}" for ending in MODEL_FILES)
        hub = HubFiles("model", source.id, source.revision, patterns)
        snapshot = _snapshot(hub, looked)
        if snapshot and _complete(snapshot, source.library, looked):
            return Model(
                snapshot, "hub cache", f"{source.id}@{snapshot.name}", Snapshot(hub, snapshot)
            )
    return Missing(
        f"weights of backbone {entry.name} ({source.id})",
        tuple(looked),
        _remedy(f"--backbones {entry.name}", source.local_only, f"models/{source.id}/"),
        hub,
    )


def dataset_files(task: TaskEntry) -> DatasetFiles:
    """The files of a task's data set. Raises `UserError` if they are not on this machine."""
    found = locate_dataset(task)
    if isinstance(found, Missing):
        raise UserError(str(found))
    return found


def model_folder(entry: BackboneEntry) -> Path:
    """The folder of a backbone's files. Raises `UserError` if it is not on this machine."""
    found = locate_model(entry)
    if isinstance(found, Missing):
        raise UserError(str(found))
    return found.folder


def data_folders() -> tuple[Path, ...]:
    """The folders that SUITE_DATA names, with `:` between them; the first that has something
    wins."""
    named = os.environ.get("SUITE_DATA", "").split(os.pathsep)
    return tuple(expanded(Path(folder)).absolute() for folder in named if folder)


def expanded(path: Path) -> Path:
    """A path with the home folder for `~`; as it is where nobody has such a home."""
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def hub_splits(source: HubSource) -> dict[str, str]:
    """The splits that a task reads from files -> the name each has on the hub."""
    return {split: source.splits.get(split, split) for split in READ[source.split_rule]}


def _parquet(
    root: Path, source: HubSource, looked: list[str]
) -> dict[str, tuple[Path, ...]] | None:
    for config in _config_folders(source):
        folder = _inside(root, config)
        found = {split: _whole(name, folder) for split, name in hub_splits(source).items()}
        odd = [path for files in found.values() for path in files if not path.is_file()]
        if odd:
            looked.append(f"{folder} ({odd[0].name} is not a regular file)")
            continue
        if all(found.values()):
            return found
        lacking = [split for split, files in found.items() if not files]
        there = _called_alike(folder, [hub_splits(source)[split] for split in lacking])
        looked.append(
            f"{folder}" + (f" (lacks {', '.join(lacking)}{there})" if folder.is_dir() else "")
        )
    return None


def _called_alike(folder: Path, splits: Sequence[str]) -> str:
    """What lies in a folder and is not all files of these splits, though it begins like them."""
    begins = tuple(name.lower() for name in splits)
    names = sorted(p.name for p in folder.glob("*") if p.name.lower().startswith(begins))
    listed = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
    return f"; there is {listed}" if names else ""


def _config_folders(source: HubSource) -> tuple[str, ...]:
    """Where the hub keeps the files of a configuration; `data` where there is only one."""
    return (source.config, "data") if source.config == "default" else (source.config,)


def _whole(name: str, folder: Path) -> tuple[Path, ...]:
    """The shards of a split in their order, or nothing if one of them is missing.

    Raises `UserError` if shards of two versions of the split lie side by side: read together, rows
    would occur twice.
    """
    shards: dict[tuple[int, int], Path] = {}
    for path in sorted(folder.glob(f"{name}-*.parquet")):
        found = _SHARD.fullmatch(path.name[len(name) :])
        if found is None:
            continue
        key = int(found["number"]), int(found["total"])
        if key in shards:
            raise UserError(f"{folder}: {shards[key].name} and {path.name} are the same shard")
        shards[key] = path
    totals = {total for _, total in shards}
    numbers = [number for number, _ in shards]
    if len(totals) > 1:
        names = ", ".join(path.name for path in shards.values())
        raise UserError(f"{folder}: shards of two versions of one split, remove the older: {names}")
    whole = totals == {len(shards)} and sorted(numbers) == [*range(len(shards))]
    return tuple(shards.values()) if whole else ()


def _complete(folder: Path, library: str, looked: list[str]) -> bool:
    needed = {"weights (*.safetensors)": "*.safetensors"}
    if library != "cifar":
        needed["config.json"] = "config.json"
    lacking = [name for name, pattern in needed.items() if not any(folder.glob(pattern))]
    if lacking:
        note = f" (lacks {', '.join(lacking)})" if folder.is_dir() else ""
        looked.append(f"{folder}{note}")
        return False
    files = sorted(path for path in folder.iterdir() if path.suffix in MODEL_FILES)
    odd = [path.name for path in files if not path.is_file()]
    if odd:
        looked.append(f"{folder} ({odd[0]} is not a regular file)")
    return not odd


def _model_digest(folder: Path) -> str:
    return files_digest(
        (path.name, path) for path in folder.iterdir() if path.suffix in MODEL_FILES
    )


def _splits_digest(splits: Mapping[str, tuple[Path, ...]]) -> str:
    return files_digest(
        (f"{split}/{index}", path)
        for split, files in splits.items()
        for index, path in enumerate(files)
    )


def _snapshot(hub: HubFiles, looked: list[str]) -> Path | None:
    """The folder of a cached revision if all files of it that are needed are there; its name is the
    commit."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    looked.append(f"the hub's cache {constants.HF_HUB_CACHE} ({hub.repository})")
    try:
        folder = snapshot_download(
            hub.repository,
            repo_type=hub.kind,
            revision=hub.revision,
            allow_patterns=list(hub.patterns),
            local_files_only=True,
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return Path(folder)


def _inside(root: Path, name: str) -> Path:
    if not stays_inside(name):
        raise UserError(f"'{name}' is not a plain relative name: it could leave {root}")
    return root / name


def _remedy(selection: str, local_only: bool, place: str) -> str:
    if local_only:
        return f"it is not on the hub: put it at $SUITE_DATA/{place} by hand (docs/data.md)"
    return f"get it with: python -m suite fetch {selection}"
