"""Where data and weights lie, found without reading them.

Data sets: `$SUITE_DATA/datasets/HUB/CONFIG/SPLIT-*.parquet`, else the hub's cache.
Weights: at the mini scale the package, or the folder `mini` beside the backbone's YAML; at the full
scale `$SUITE_DATA/models/ID/`, else the hub's cache.
Nothing is downloaded here; `python -m suite fetch` does that.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from suite.data.fingerprint import files_digest
from suite.errors import UserError
from suite.registry.names import stays_inside
from suite.registry.schema import BackboneEntry, HubSource, TaskEntry

MINI_MODELS = Path(__file__).parent.parent / "backbones" / "mini"
MODEL_FILES = (".safetensors", ".json", ".txt", ".model")
"""What belongs to a model's identity: weights, configuration and tokenizer, not the prose."""

Found = TypeVar("Found")
Origin = Literal["package", "SUITE_DATA", "hub cache"]


@dataclass(frozen=True)
class DatasetFiles:
    """The parquet files of a task, by the hub's name of the split."""

    local: Mapping[str, tuple[Path, ...]]
    origin: Origin
    fingerprint: str


@dataclass(frozen=True)
class Model:
    """The folder with a model's weights, configuration and tokenizer."""

    folder: Path
    origin: Origin
    fingerprint: str


@dataclass(frozen=True)
class Missing:
    """What was not found, every place looked at, and what would bring it."""

    what: str
    looked: tuple[str, ...]
    remedy: str

    @property
    def reason(self) -> str:
        """One line, for a table."""
        return f"{self.what} not found; {self.remedy}"

    def __str__(self) -> str:
        places = "".join(f"\n  looked in {place}" for place in self.looked)
        return f"{self.what} not found{places}\n  {self.remedy}"


def locate_dataset(task: TaskEntry, source: HubSource) -> DatasetFiles | Missing:
    """The files of a task's full-scale data set."""
    looked: list[str] = []
    root = data_folder()
    if root:
        folder = _inside(root / "datasets", source.hub)
        splits = _parquet(folder, (source.config,), source, looked)
        if splits:
            return DatasetFiles(splits, "SUITE_DATA", _splits_digest(splits))
    else:
        looked.append("$SUITE_DATA, which is not set")
    if not source.local_only:
        snapshot = _snapshot(source.hub, source.revision, "dataset", looked)
        folders = (source.config, "data") if source.config == "default" else (source.config,)
        splits = snapshot and _parquet(snapshot, folders, source, looked)
        if snapshot and splits:
            return DatasetFiles(splits, "hub cache", f"{source.hub}@{snapshot.name}")
    place = f"datasets/{source.hub}/{source.config}/SPLIT-00000-of-00001.parquet"
    return Missing(
        f"data set {source.hub} ({source.config}) of task {task.track}/{task.name}",
        tuple(looked),
        _remedy(f"--tasks {task.track}/{task.name}", source.local_only, place),
    )


def locate_model(entry: BackboneEntry) -> Model | Missing:
    """The folder of a backbone's weights."""
    source = entry.source
    looked: list[str] = []
    if entry.scale == "mini":
        for shelf in dict.fromkeys((entry.path.parent / "mini", MINI_MODELS)):
            folder = _inside(shelf, source.id)
            if _complete(folder, source.library, looked):
                return Model(folder, "package", _model_digest(folder))
        return Missing(
            f"weights of backbone {entry.name}",
            tuple(looked),
            "they ship with the package: install it again",
        )
    root = data_folder()
    if root:
        folder = _inside(root / "models", source.id)
        if _complete(folder, source.library, looked):
            return Model(folder, "SUITE_DATA", _model_digest(folder))
    else:
        looked.append("$SUITE_DATA, which is not set")
    if not source.local_only:
        snapshot = _snapshot(source.id, source.revision, "model", looked)
        if snapshot and _complete(snapshot, source.library, looked):
            return Model(snapshot, "hub cache", f"{source.id}@{snapshot.name}")
    return Missing(
        f"weights of backbone {entry.name} ({source.id})",
        tuple(looked),
        _remedy(f"--backbones {entry.name}", source.local_only, f"models/{source.id}/"),
    )


def dataset_files(task: TaskEntry, source: HubSource) -> DatasetFiles:
    """The files of a task's data set. Raises `UserError` if they are not on this machine."""
    return _here(locate_dataset(task, source))


def model_folder(entry: BackboneEntry) -> Path:
    """The folder of a backbone's files. Raises `UserError` if it is not on this machine."""
    return _here(locate_model(entry)).folder


def data_folder() -> Path | None:
    """The folder that SUITE_DATA names, or None where it is not set."""
    named = os.environ.get("SUITE_DATA")
    return Path(named).expanduser().absolute() if named else None


def hub_splits(source: HubSource) -> tuple[str, ...]:
    """The hub's splits that a task reads."""
    needed = {
        "halve_validation": ("train", "validation"),
        "carve_from_train": ("train", "test"),
        "named": ("train", "validation", "test"),
    }[source.split_rule]
    return tuple(source.splits.get(split, split) for split in needed)


def _parquet(
    root: Path, configs: tuple[str, ...], source: HubSource, looked: list[str]
) -> dict[str, tuple[Path, ...]] | None:
    for config in configs:
        folder = _inside(root, config)
        found = {
            split: _whole(sorted(folder.glob(f"{split}-*.parquet"))) for split in hub_splits(source)
        }
        if all(found.values()):
            return found
        lacking = ", ".join(split for split, files in found.items() if not files)
        looked.append(f"{folder}" + (f" (lacks {lacking})" if folder.is_dir() else ""))
    return None


def _whole(files: list[Path]) -> tuple[Path, ...]:
    """The shards of a split, or nothing if one of them is missing."""
    shards = re.search(r"-of-(\d+)\.parquet$", files[-1].name) if files else None
    return tuple(files) if shards is None or len(files) == int(shards[1]) else ()


def _complete(folder: Path, library: str, looked: list[str]) -> bool:
    needed = {"weights (*.safetensors)": "*.safetensors"}
    if library != "cifar":
        needed["config.json"] = "config.json"
    lacking = [name for name, pattern in needed.items() if not any(folder.glob(pattern))]
    if lacking:
        note = f" (lacks {', '.join(lacking)})" if folder.is_dir() else ""
        looked.append(f"{folder}{note}")
    return not lacking


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


def _snapshot(
    repository: str, revision: str | None, kind: Literal["model", "dataset"], looked: list[str]
) -> Path | None:
    """The folder of a cached revision; its name is the commit."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    looked.append(f"the hub's cache {constants.HF_HUB_CACHE} ({repository})")
    try:
        folder = snapshot_download(
            repository, repo_type=kind, revision=revision, local_files_only=True
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return Path(folder)


def _here(found: Found | Missing) -> Found:
    if isinstance(found, Missing):
        raise UserError(str(found))
    return found


def _inside(root: Path, name: str) -> Path:
    if not stays_inside(name):
        raise UserError(f"'{name}' is not a plain relative name: it could leave {root}")
    return root / name


def _remedy(selection: str, local_only: bool, place: str) -> str:
    if local_only:
        return f"it is not on the hub: put it at $SUITE_DATA/{place} by hand"
    return f"bring it with: python -m suite fetch {selection}"
