"""What a result depends on, as digests: an allow-list, versioned.

Device, workers, versions of libraries and the git commit are recorded in a result, never hashed.
What code counts is said in `suite.planning.cell_code`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

from suite.planning.cell_code import Code
from suite.registry.schema import (
    BackboneEntry,
    MethodEntry,
    OptionValue,
    Recipe,
    Scale,
    TaskEntry,
)
from suite.results.records import Identity

SCHEMA_VERSION = 2
"""Raise when the meaning of a component changes; `plan` then says so for older results."""

UNKNOWN = "unknown"
"""Stands for the fingerprint of files that are missing; matches nothing that was ever run."""

NO_CODE = Code("", {})
"""Of a cell that is not defined: nothing is computed."""


FIRST_DEFAULTS: Mapping[str, object] = {
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "head_learning_rate": None,
    "weight_decay": 0.0,
    "momentum": 0.9,
    "schedule": "linear",
    "warmup": 0.1,
    "steps": 100,
    "batch_size": 32,
    "examples": None,
    "evaluations": 4,
    "label_smoothing": 0.0,
    "clip_norm": 1.0,
    "augmentation": "none",
    "temperature": 10.0,
    "mixed_batches": False,
    "max_length": 128,
    "precision": "auto",
    "augmentations": {},
}
"""What every key of a recipe was worth by default when it was added. It stays when the default
changes: digests leave these values out, and a cell that gets another one must run again."""


class Ran(Protocol):
    """The values of a cell, or of a result, from which differences between two can be named."""

    @property
    def identity(self) -> Identity: ...  # noqa: D102
    @property
    def recipe(self) -> Recipe | None: ...  # noqa: D102
    @property
    def options(self) -> Mapping[str, OptionValue]: ...  # noqa: D102


def method_digest(entry: MethodEntry, options: Mapping[str, OptionValue]) -> str:
    """The method's regime with the resolved options.

    The cells of a family on which the method is not defined have `.unsupported` after it, so that
    they become other cells on the day it is.
    """
    return _digest(
        {"regime": entry.regime, "task_prefix": entry.task_prefix, "options": dict(options)}
    )[:16]


def recipe_digest(recipe: Recipe) -> str:
    """Every key of the resolved recipe that is not at its first default, so that a key that is
    added later leaves older results valid."""
    values = recipe.model_dump(mode="json").items()
    return _digest({key: value for key, value in values if value != FIRST_DEFAULTS[key]})


def task_digest(
    task: TaskEntry, scale: Scale, data: str, recipe: Recipe, image_size: int | None, metrics: str
) -> str:
    """`EXAMPLES.METRICS`: all that turns data into a score; unequal ones are never compared.

    `metrics` is the digest of their code.
    """
    return f"{examples_digest(task, scale, data, recipe, image_size)}.{metrics}"


def examples_digest(
    task: TaskEntry, scale: Scale, data: str, recipe: Recipe, image_size: int | None
) -> str:
    """A task's examples and what is asked of them; `data` is the digest of the generated ones or
    the fingerprint of the files."""
    full = None if scale.embedded else task.sources.full
    split = full and full.model_dump(
        mode="json", include={"split_rule", "splits", "carve", "label", "image"}
    )
    if split and full and full.drop_labels:
        split["drop_labels"] = list(full.drop_labels)
    return _digest(
        {
            "data": data,
            "split": split,
            "text": task.text and task.text.model_dump(mode="json"),
            "max_length": recipe.max_length if task.text else None,
            "image_size": None if task.text else image_size,
            "output": task.output.model_dump(mode="json", exclude_none=True),
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
            **({"form": entry.form} if entry.form else {}),
            "image": [entry.image_size, entry.mean, entry.std],
        }
    )


def identity(
    method: str,
    code: Code,
    recipe: str,
    tasks: Mapping[str, str],
    backbone: str,
    seed: int,
    start: str = "",
) -> Identity:
    """The components and one digest over them; `start` is that of the cell whose delta training
    starts from."""
    components: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "method": method,
        "code": code.digest,
        "recipe": recipe,
        "tasks": dict(tasks),
        "backbone": backbone,
        "seed": seed,
        **({"start": start} if start else {}),
    }
    return Identity(**components, parts=dict(code.parts), digest=_digest(components))


def holds(found: Identity) -> bool:
    """Whether the digest of an identity is that of its components."""
    known = found.model_dump(exclude={"parts", "digest"})
    if found.schema_version < 2:
        del known["code"]
    if not found.start:
        del known["start"]
    return _digest(known) == found.digest


def differences(old: Ran, new: Ran) -> str:
    """How the second differs from the first, in words; empty if the identities are equal."""
    before, now = old.identity, new.identity
    if before.digest == now.digest:
        return ""
    if before.schema_version != now.schema_version:
        return f"identity scheme changed: version {before.schema_version} -> {now.schema_version}"
    changes = []
    options_before, *refused_before = before.method.split(".")
    options_now, *refused_now = now.method.split(".")
    if refused_before != refused_now:
        changes.append("no longer unsupported" if refused_before else "now unsupported")
    elif before.code != now.code:
        changes.append(_changed_code(before, now))
    if options_before != options_now:
        changes.append(_changed("options", old.options, new.options))
    if before.recipe != now.recipe:
        changes.append(_changed("recipe", _recipe_values(old), _recipe_values(new)))
    changes += _changed_tasks(before.tasks, now.tasks)
    if before.backbone != now.backbone:
        changes.append("backbone changed")
    if before.start != now.start:
        changes.append("what training starts from changed")
    if before.seed != now.seed:
        changes.append(f"seed {before.seed} -> {now.seed}")
    return ", ".join(changes)


def _changed_code(before: Identity, now: Identity) -> str:
    """`code changed: training, layers`; without the names where it is how they use each other."""
    parts = [part for part in now.parts if before.parts.get(part) != now.parts[part]]
    return f"code changed: {' and '.join(parts)}" if parts else "code changed"


def _changed_tasks(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    old = {name: digest.partition(".") for name, digest in before.items()}
    new = {name: digest.partition(".") for name, digest in now.items()}
    kept = [name for name in new if name in old]
    lists = {
        "task changed": [name for name in kept if old[name][0] != new[name][0]],
        "code of metrics changed": [name for name in kept if old[name][2] != new[name][2]],
        "tasks added": [name for name in new if name not in old],
        "tasks left out": sorted(old.keys() - new.keys()),
    }
    return [f"{what}: {', '.join(names)}" for what, names in lists.items() if names]


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
