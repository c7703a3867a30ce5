"""`fetch`: bring data and weights from the hub into its cache, and list what is here."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from suite.console import out, say
from suite.errors import UserError
from suite.planning.fingerprint import file_digest, remember
from suite.planning.locate import (
    MODEL_FILES,
    DatasetFiles,
    HubFiles,
    Missing,
    Model,
    locate_dataset,
    locate_model,
)
from suite.registry import Registry, load


def fetch(options: argparse.Namespace) -> int:
    """Print a manifest (`sha256sum -c` reads it) of everything asked for, fetching what is missing.

    Exit code 1 if something is still missing.
    """
    if not options.tasks and not options.backbones:
        raise UserError("say what to fetch: --tasks glue, --backbones t5_base, or both")
    registry = load(options.registry)
    found = list(_located(registry, options))
    if bring([item for item in found if isinstance(item, Missing)]):
        found = list(_located(registry, options))
    for item in found:
        if isinstance(item, Missing):
            say(f"missing: {item}")
        else:
            for path in _files(item):
                out(f"{file_digest(path)}  {path}")
    remember()
    return 1 if any(isinstance(item, Missing) for item in found) else 0


def bring(missing: Iterable[Missing]) -> bool:
    """Download what the hub has, into the hub's own cache; whether anything came."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    came = [_download(hub) for hub in dict.fromkeys(item.hub for item in missing if item.hub)]
    return any(came)


def _download(hub: HubFiles) -> bool:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    say(f"fetching {hub.kind} {hub.repository} from the hub")
    try:
        snapshot_download(
            hub.repository,
            repo_type=hub.kind,
            revision=hub.revision,
            allow_patterns=list(hub.patterns),
        )
    except (HfHubHTTPError, OSError) as error:
        # No network, no such repository, no permission, no space: what is missing stays missing.
        say(f"could not fetch {hub.repository}: {str(error).strip().splitlines()[0]}")
        return False
    return True


def _located(
    registry: Registry, options: argparse.Namespace
) -> Iterator[DatasetFiles | Model | Missing]:
    for task in registry.select_tasks(options.tasks):
        if task.sources.full:
            yield locate_dataset(task)
        else:
            say(f"{task.track}/{task.name} is generated: nothing to fetch")
    for backbone in registry.select_backbones(options.backbones):
        yield locate_model(backbone)


def _files(item: DatasetFiles | Model) -> list[Path]:
    if isinstance(item, Model):
        files = [path for path in item.folder.iterdir() if path.suffix in MODEL_FILES]
    else:
        files = [path for paths in item.splits.values() for path in paths]
    return sorted(files)
