"""Which network lies in a folder, told from its configuration alone, and what it cannot answer:
nothing is imported."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suite.console import shown
from suite.errors import UserError
from suite.registry.families import FamilyFacts, family_of, lineage, served
from suite.registry.metrics import ordered
from suite.registry.schema import BackboneEntry, Library, MultiLabel, TaskEntry

CONFIG = "config.json"


class UnreadableConfiguration(UserError):
    """The file that says what network lies in a folder is damaged: nothing is known of that."""


def configuration(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """What `config.json` or another file in a folder says. Raises UnreadableConfiguration if it is
    no mapping in JSON."""
    path = folder / name
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableConfiguration(f"{shown(path)} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UnreadableConfiguration(f"{shown(path)} is not a mapping in JSON")
    return found


def architecture(library: Library, config: dict[str, Any]) -> str:
    """The architecture of timm or the model type of transformers; empty if it says none."""
    named = config.get("architecture" if library == "timm" else "model_type")
    return named if isinstance(named, str) else ""


def refined(entry: BackboneEntry, folder: Path) -> BackboneEntry:
    """The entry with the family that the network in its folder belongs to: that of the entry, or a
    kind of it. The family's pooling holds where the entry does not say another.

    Raises UserError if no family serves the network, or one of another kind does.
    """
    if entry.source.library == "cifar":
        return entry
    library = entry.source.library
    config = configuration(folder)
    named = entry.source.architecture or architecture(library, config)
    if not named:
        return entry  # Whether the files are those of a network shows when they are loaded.
    found = family_of(library, named)
    if found is None:
        raise unserved(shown(folder), library, named)
    if entry.family not in lineage(found.name):
        raise UserError(
            f"{shown(folder)} holds a network of the architecture '{named}', which belongs to the "
            f"family {found.name}, not {entry.family}: say so in {shown(entry.path)}"
        )
    if key := _other_use(config, found):
        raise unserved(shown(folder), library, named, found.name, f"{CONFIG} has {key}: true")
    pooling = entry.pooling if "pooling" in entry.model_fields_set else found.pooling
    if (found.name, pooling) == (entry.family, entry.pooling):
        return entry
    return entry.model_copy(update={"family": found.name, "pooling": pooling})


def _other_use(config: dict[str, Any], family: FamilyFacts) -> str:
    """The key by which a text network reads another source beside its own, or no token after its
    own where the family reads all; empty if there is none."""
    keys = ["add_cross_attention"]
    if family.form == "text" and family.pooling != "last":
        keys.append("is_decoder")
    return next((key for key in keys if config.get(key)), "")


def unserved(
    where: str, library: Library, named: str, family: str = "", reason: str = ""
) -> UserError:
    """What refuses a network: it is of no family, or of a form that its `family` does not serve,
    for a reason. `where` it was found, by its `named` architecture."""
    which = "no family serves"
    if family:
        which = f"the family {family} does not serve in this form ({reason})"
    return UserError(
        f"{where} is a network of the architecture '{named or 'unknown'}', which {which}; "
        f"families and what they serve of {library}: {served(library)}"
    )


def unanswerable(tasks: Sequence[TaskEntry], backbone: BackboneEntry) -> str:
    """Why a backbone cannot answer one of the tasks; empty if it can."""
    if backbone.does != "text_to_text":
        return ""
    for task in tasks:
        if isinstance(task.output, MultiLabel):
            return f"{task.name} asks for several labels, and {backbone.name} writes one answer"
        if ordered(task.metrics):
            return f"{task.name} is scored by probabilities, and {backbone.name} writes its answer"
    return ""
