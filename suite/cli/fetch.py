"""`fetch`: bring data and weights from the hub into its cache, and list what is here."""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from suite.console import out, say, shown
from suite.errors import UserError
from suite.planning.fingerprint import file_digest, remember
from suite.planning.given import with_given
from suite.planning.hub import bring, mend
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

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<path>.+)")
"""Of a manifest, as `sha256sum` writes it."""


def fetch(options: argparse.Namespace) -> int:
    """Fetch what is missing or damaged, and print a manifest of all, for `sha256sum -c`.

    Exit code 1 if something is still missing, or not what the manifest in `options.manifest` says.
    """
    tasks, backbones, registry = options.tasks, options.backbones, load(options.registry)
    if not tasks and not backbones:
        raise UserError("say what to fetch: --tasks glue, --backbones t5_base, or both")
    known = _manifest(options.manifest) if options.manifest else None
    registry, backbones = with_given(registry, split_names(backbones), fetch=True)
    found = list(_located(registry, tasks, backbones))
    mended = mend(
        item.snapshot for item in found if not isinstance(item, Missing) and item.snapshot
    )
    came = bring([item for item in found if isinstance(item, Missing)])
    if mended or came:
        found = list(_located(registry, tasks, backbones))
    good = True
    for item in found:
        if isinstance(item, Missing):
            say(f"missing: {item}")
            good = False
            continue
        for path in _files(item):
            digest = file_digest(path)
            out(f"{digest}  {path}")
            if known is not None and digest not in known.get(path.name, ()):
                said = " or ".join(known.get(path.name, ())) or "nothing of this name"
                say(f"{path} has SHA-256 {digest}; {shown(options.manifest)} says {said}")
                good = False
    remember()
    return 0 if good else 1


def _manifest(file: Path) -> dict[str, list[str]]:
    """Names of files -> the digests that a manifest gives files of that name. Their folders differ
    from machine to machine."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{shown(file)}: cannot be read as a manifest: {error}") from error
    known: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise UserError(
                f"{shown(file)}, line {number}: not a SHA-256, two spaces and a path: {line:.60}"
            )
        known.setdefault(Path(found["path"]).name, []).append(found["digest"])
    return known


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
