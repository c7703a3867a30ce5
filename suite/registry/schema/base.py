"""The words that all entries share, and the base of every model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from suite.registry.families import families

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"
URL_PATTERN = r"^https?://[!-~]+$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
Modality = Literal["text", "image"]
FAMILIES = tuple(families())
if TYPE_CHECKING:
    Family = str
else:
    Family = Literal[FAMILIES]
"""One of the families, each of which is a file."""
SiteKind = Literal[
    "attention",
    "feed_forward",
    "block",
    "conv",
    "linear",
    "norm",
    "patch_embedding",
    "head",
    "tokens",
    "keys",
]
OptionValue = bool | int | float | str


class Entry(BaseModel):
    """Base of every model: immutable, and unknown keys are errors.

    A validator over several keys starts its message with the key that is at fault, one of a single
    key with a colon alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(Entry):
    """An entry with a file of its own. `path` is filled in by the loader, never written in YAML."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    path: Path = Field(default=Path(), exclude=True)


class Reference(Entry):
    """Where an idea, a data set or a number comes from."""

    title: str
    url: Annotated[str, Field(pattern=URL_PATTERN)] | None = None
    year: int | None = None
