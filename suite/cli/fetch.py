"""`fetch`: bring data and weights from the hub into its cache, and list what is here."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from suite.console import out, say
from suite.errors import UserError
from suite.planning.fingerprint import file_digest, remember
from suite.planning.given import with_given
from suite.planning.hub import bring
from suite.planning.locate import (
    MODEL_FILES,
    DatasetFiles,
    Missing,
    Model,
    locate_dataset,
    locate_model,
)
from suite.registry import Registry, load
from suite.registry.entries import split_names


def fetch(options: argparse.Namespace) -> int:
    """Fetch what is missing, and print a manifest of everything named (for `sha256sum -c`).

    Exit code 1 if something is still missing.
    """
    tasks, backbones, registry = options.tasks, options.backbones, load(options.registry)
    if not tasks and not backbones:
        raise UserError("say what to fetch: --tasks glue, --backbones t5_base, or both")
    registry, backbones = with_given(registry, split_names(backbones), fetch=True)
    found = list(_located(registry, tasks, backbones))
    if bring([item for item in found if isinstance(item, Missing)]):
        found = list(_located(registry, tasks, backbones))
    for item in found:
        if isinstance(item, Missing):
            say(f"missing: {item}")
        else:
            for path in _files(item):
                out(f"{file_digest(path)}  {path}")
    remember()
    return 1 if any(isinstance(item, Missing) for item in found) else 0


def _located(
    registry: Registry, tasks: Sequence[str], backbones: Sequence[str]
) -> Iterator[DatasetFiles | Model | Missing]:
    for task in registry.select_tasks(tasks):
        if task.sources.full:
            yield locate_dataset(task)
        else:
            say(f"{task.track}/{task.name} is generated: nothing to fetch")
    for backbone in registry.select_backbones(backbones):
        yield locate_model(backbone)


def _files(item: DatasetFiles | Model) -> list[Path]:
    if isinstance(item, Model):
        files = [path for path in item.folder.iterdir() if path.suffix in MODEL_FILES]
    else:
        files = [path for paths in item.splits.values() for path in paths]
    return sorted(files)
