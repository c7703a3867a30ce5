"""What a result depends on, as digests: an allow-list, versioned.

Device, workers, versions of libraries and the git commit are recorded in a result, never hashed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Protocol

from suite.registry.schema import (
    BackboneEntry,
    MethodEntry,
    OptionValue,
    Recipe,
    Scale,
    TaskEntry,
)
from suite.results.records import Identity

SCHEMA_VERSION = 1
"""Raise when the meaning of a component changes; `plan` then says so for older results."""

UNKNOWN = "unknown"
"""Stands for the fingerprint of files that are missing; matches nothing that was ever run."""


class Ran(Protocol):
    """What must be known of two cells to say how they differ: a cell, or a result."""

    @property
    def identity(self) -> Identity: ...  # noqa: D102
    @property
    def recipe(self) -> Recipe | None: ...  # noqa: D102
    @property
    def options(self) -> Mapping[str, OptionValue]: ...  # noqa: D102


def method_digest(entry: MethodEntry, options: Mapping[str, OptionValue]) -> str:
    """`CODE.OPTIONS`: the method's own source file, and its regime with the resolved options.

    The cells of a family on which the method is not defined have `.unsupported` behind that, so
    that they become other cells on the day it is.
    """
    code = hashlib.sha256(entry.python_path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    settings = _digest(
        {"regime": entry.regime, "task_prefix": entry.task_prefix, "options": dict(options)}
    )
    return f"{code[:16]}.{settings[:16]}"


def recipe_digest(recipe: Recipe) -> str:
    """Every key of the resolved recipe; `mixed_batches`, which is younger than the first results,
    only where it is set, so that they stay valid."""
    keys = recipe.model_dump(mode="json")
    if not recipe.mixed_batches:
        del keys["mixed_batches"]
    return _digest(keys)


def task_digest(
    task: TaskEntry, scale: Scale, data: str, recipe: Recipe, image_size: int | None
) -> str:
    """The examples and all that turns them into a score: unequal ones are never compared.

    `data` is the digest of the generated examples or the fingerprint of the files.
    """
    full = task.sources.full if scale == "full" else None
    split = full and full.model_dump(
        mode="json", include={"split_rule", "splits", "carve", "label", "image"}
    )
    return _digest(
        {
            "data": data,
            "split": split,
            "text": task.text and task.text.model_dump(mode="json"),
            "max_length": recipe.max_length if task.text else None,
            "image_size": None if task.text else image_size,
            "output": task.output.model_dump(mode="json"),
            "metrics": task.metrics,
        }
    )


def backbone_digest(entry: BackboneEntry, fingerprint: str) -> str:
    """The weights and how the network is built from them."""
    return _digest(
        {
            "fingerprint": fingerprint,
            "family": entry.family,
            "library": entry.source.library,
            "architecture": entry.source.architecture,
            "arguments": entry.source.model_dump(mode="json")["arguments"],
            "pooling": entry.pooling,
            "image": [entry.image_size, entry.mean, entry.std],
        }
    )


def identity(
    method: str, recipe: str, tasks: Mapping[str, str], backbone: str, seed: int
) -> Identity:
    """The components and one digest over them."""
    parts = {
        "schema_version": SCHEMA_VERSION,
        "method": method,
        "recipe": recipe,
        "tasks": dict(tasks),
        "backbone": backbone,
        "seed": seed,
    }
    return Identity(**parts, digest=_digest(parts))


def differences(old: Ran, new: Ran) -> str:
    """How the second differs from the first, in words; empty where the identities are equal."""
    before, now = old.identity, new.identity
    if before.digest == now.digest:
        return ""
    if before.schema_version != now.schema_version:
        return f"identity scheme changed: version {before.schema_version} -> {now.schema_version}"
    changes = []
    code_before, options_before, *refused_before = before.method.split(".")
    code_now, options_now, *refused_now = now.method.split(".")
    if refused_before != refused_now:
        changes.append("no longer unsupported" if refused_before else "now unsupported")
    if code_before != code_now:
        changes.append("method code changed")
    if options_before != options_now:
        changes.append(_changed("options", old.options, new.options))
    if before.recipe != now.recipe:
        changes.append(_changed("recipe", _recipe_values(old), _recipe_values(new)))
    tasks = [name for name in now.tasks if before.tasks.get(name) != now.tasks[name]]
    if tasks:
        changes.append(f"task changed: {', '.join(tasks)}")
    if before.tasks.keys() - now.tasks.keys():
        changes.append(
            f"tasks left out: {', '.join(sorted(before.tasks.keys() - now.tasks.keys()))}"
        )
    if before.backbone != now.backbone:
        changes.append("backbone changed")
    if before.seed != now.seed:
        changes.append(f"seed {before.seed} -> {now.seed}")
    return ", ".join(changes)


def _recipe_values(ran: Ran) -> Mapping[str, object]:
    return ran.recipe.model_dump() if ran.recipe else {}


def _changed(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """`recipe: steps 100 -> 200`; without the values where they were not recorded."""
    values = [
        f"{key} {old[key]} -> {new[key]}" for key in new if key in old and old[key] != new[key]
    ]
    return f"{what}: {', '.join(values)}" if values else f"{what} changed"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
