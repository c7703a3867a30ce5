"""Backbones that are given by a hub id or a folder and have no entry of their own.

`timm:ID`, `hf:ID` (with `@REVISION`, if need be) and a path of a folder become entries: image size,
mean and spread from the checkpoint's own configuration, the family from its architecture, the
revision of the hub's cache. An entry that was made stays in the user's cache folder, where the
registry looks last, so that results keep their backbone.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from suite.console import shown
from suite.errors import UserError
from suite.planning.architecture import CONFIG, architecture, configuration, unserved
from suite.planning.hub import bring
from suite.planning.locate import Missing, Model, expanded, locate_model
from suite.registry import Registry
from suite.registry.cache import given_backbones, keep
from suite.registry.families import FamilyFacts, family_of
from suite.registry.names import normal
from suite.registry.schema import BackboneEntry, Library

HUBS = ("timm:", "hf:")
PATHS = ("./", "../", "/", "~")
PREPROCESSOR = "preprocessor_config.json"
"""What transformers does to images."""
_HUB_ID = re.compile(r"(?P<id>[^@]+)(@(?P<revision>[\w.-]+))?")


def is_given(word: str) -> bool:
    """Whether a word is a hub id or a path, and not a name or a glob."""
    if word.startswith((*HUBS, *PATHS)) or word in (".", ".."):
        return True
    return "/" in word and Path(word).is_dir()


def with_given(
    registry: Registry, words: Iterable[str], *, fetch: bool = False
) -> tuple[Registry, tuple[str, ...]]:
    """The registry with an entry for every id and folder among the words, and the words with the
    names of these entries in their places.

    What is not on this machine is brought from the hub, if `fetch` allows it. Raises UserError if
    files are missing, say too little, or hold a network that no family serves.
    """
    names = []
    for word in words:
        if is_given(word):
            entry = known(registry, word) or entry_for(word, registry, fetch=fetch)
            registry = replace(registry, backbones={**registry.backbones, entry.name: entry})
            word = entry.name
        elif (Path(word) / CONFIG).is_file() and not _taken(word, registry):
            raise UserError(
                f"'{word}' is no backbone of the registry, but a folder: write ./{word}"
            )
        names.append(word)
    return registry, tuple(names)


def entry_for(word: str, registry: Registry, *, fetch: bool = False) -> BackboneEntry:
    """The entry that an id or a folder stands for, kept in the user's cache folder."""
    source = _source(word)
    found = _located(word, source, fetch)
    config = configuration(found.folder)
    library: Library = "timm" if "architecture" in config else "transformers"
    named = architecture(library, config)
    family = family_of(library, named)
    if family is None:
        raise unserved(word, library, named)
    if found.origin == "hub cache":
        source["revision"] = found.folder.name
    name = _free_name(word, found, registry)
    entry = _entry(name, word, family, {**source, "library": library}, config, found.folder)
    path = given_backbones() / f"{name}.yaml"
    keep(path, as_yaml(entry))
    return entry.model_copy(update={"path": path})


def as_yaml(entry: BackboneEntry) -> str:
    """The YAML of an entry; values are written as in JSON, which YAML includes."""
    data = entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    head = {"schema": 1, **data}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in head.items())


def known(registry: Registry, word: str) -> BackboneEntry | None:
    """The entry of the registry for the same folder or hub id, if the word names no revision."""
    source = _source(word)
    return next(
        (
            entry
            for entry in registry.backbones.values()
            if (
                entry.source.folder == source["folder"]
                if "folder" in source
                else entry.source.folder is None
                and entry.source.id == source["id"]
                and source["revision"] in (None, entry.source.revision)
            )
            # One that was made from a word is made again: its files may have changed.
            if entry.path.parent != given_backbones()
        ),
        None,
    )


def _source(word: str) -> dict[str, Any]:
    """The keys of a source that a word says: `id` and `revision`, or `folder`."""
    if not word.startswith(HUBS):
        folder = Path(os.path.realpath(expanded(Path(word))))
        return {"id": _plain(folder.name), "folder": str(folder), "local_only": True}
    hub, _, rest = word.partition(":")
    found = _HUB_ID.fullmatch(rest)
    if found is None:
        raise UserError(f"'{word}' names no repository: write {hub}:OWNER/NAME")
    name = found["id"]
    if hub == "timm" and "/" not in name:
        name = f"timm/{name}"
    return {"id": name, "revision": found["revision"]}


def _located(word: str, source: dict[str, Any], fetch: bool) -> Model:
    """Where the files lie, which may have to be brought from the hub first."""
    # What kind of network it is says its configuration; only the source matters here.
    wanted = BackboneEntry.model_validate(
        {
            "schema": 1,
            "name": "given",
            "description": word,
            "family": "bert",
            "modality": "text",
            "scale": "full",
            "source": {"library": "transformers", **source},
            "licence": "unknown",
        }
    )
    found = locate_model(wanted)
    if isinstance(found, Missing) and fetch and bring([found]):
        found = locate_model(wanted)
    if isinstance(found, Missing):
        remedy = (
            f"it must be a folder with {CONFIG} and *.safetensors"
            if "folder" in source
            else f"get it with: python -m suite fetch --backbones {word}"
        )
        raise UserError(str(replace(found, what=f"weights of {word}", remedy=remedy)))
    if source.get("revision") and found.origin == "SUITE_DATA":
        raise UserError(
            f"{word}: {shown(found.folder)} is of no known revision; leave it out, or move the "
            "folder away"
        )
    return found


def _entry(
    name: str,
    word: str,
    family: FamilyFacts,
    source: dict[str, Any],
    config: dict[str, Any],
    folder: Path,
) -> BackboneEntry:
    image = family.form == "image"
    facts = {
        "schema": 1,
        "name": name,
        "description": f"Given as {word}",
        "family": family.name,
        "modality": "image" if image else "text",
        "scale": "full",
        "source": source,
        "pooling": family.pooling,
        "licence": "that of the checkpoint",
        **(_IMAGE_FACTS[source["library"]](config, folder) if image else {}),
    }
    try:
        return BackboneEntry.model_validate(facts)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{shown(folder / CONFIG)}: {where}: {error.errors()[0]['msg']}") from None


def _facts_of_timm(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Size, mean and spread of the images that a network of timm was trained on."""
    pretrained = config.get("pretrained_cfg")
    said = {**config, **(pretrained if isinstance(pretrained, dict) else {})}
    lacking = [key for key in ("input_size", "mean", "std") if key not in said]
    if lacking:
        raise UserError(
            f"{shown(folder / CONFIG)} does not say {', '.join(lacking)} under pretrained_cfg: "
            "write an entry with image_size, mean and std (python -m suite new backbone)"
        )
    size = said["input_size"]
    if not (isinstance(size, list) and len(size) == 3 and size[0] == 3 and size[1] == size[2]):
        raise UserError(f"{shown(folder / CONFIG)}: input_size must be [3, N, N], not {size}")
    return {"image_size": size[1], "mean": said["mean"], "std": said["std"]}


def _facts_of_transformers(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Size, mean and spread of the images that a network of transformers was trained on."""
    path = folder / PREPROCESSOR
    said = configuration(folder, PREPROCESSOR)
    size = said.get("crop_size") or said.get("size")
    if isinstance(size, dict):
        # Images that are resized by their shortest side are cut to a square, for some by default.
        keys = ("shortest_edge",) if "shortest_edge" in size else ("height", "width")
        sides = {size.get(key) for key in keys}
    else:
        sides = {size}
    side = sides.pop()
    if sides or not isinstance(side, int):
        raise UserError(f"{shown(path)}: size must be that of square images, not {size}")
    if not said.get("do_normalize", True):
        return {"image_size": side, "mean": (0, 0, 0), "std": (1, 1, 1)}
    lacking = [key for key in ("image_mean", "image_std") if key not in said]
    if lacking:
        raise UserError(
            f"{shown(path)} does not say {', '.join(lacking)}: write an entry with image_size, "
            "mean and std (python -m suite new backbone)"
        )
    return {"image_size": side, "mean": said["image_mean"], "std": said["image_std"]}


_IMAGE_FACTS = {"timm": _facts_of_timm, "transformers": _facts_of_transformers}


def _free_name(word: str, found: Model, registry: Registry) -> str:
    """A name made of the word, that no other backbone has."""
    hub, colon, rest = word.partition(":")
    stem = _plain(f"{hub}-{rest}") if colon and word.startswith(HUBS) else _plain(found.folder.name)
    other = registry.backbones.get(stem)
    if other is not None and other.path.parent == given_backbones():
        folder = _source(word).get("folder")
        if other.source.folder == folder and (folder or other.description == f"Given as {word}"):
            return stem
    if stem != "all" and not _taken(stem, registry):
        return stem
    return f"{stem[:55]}-{hashlib.sha256(str(found.folder).encode()).hexdigest()[:8]}"


def _taken(name: str, registry: Registry) -> bool:
    """Whether a word that names a backbone would name this one."""
    return normal(name) in {normal(each) for each in registry.backbones}


def _plain(text: str) -> str:
    """Letters, digits, - and _ alone."""
    plain = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-_")
    return plain[:64] or "given"
