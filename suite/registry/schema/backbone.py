"""A backbone's YAML: its family, and who builds the network from which weights."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from suite.registry.families import Form, families
from suite.registry.schema.base import Entry, Family, FileEntry, Modality, Reference
from suite.registry.schema.scale import Scale

Library = Literal["cifar", "timm", "transformers"]
Spread = Annotated[float, Field(gt=0)]


class BackboneSource(Entry):
    """Who builds the network and where its weights lie.

    At mini scale `id` is a folder shipped inside the package; at full scale a hub id or a folder
    below `$SUITE_DATA/models`.
    """

    library: Library
    id: str
    revision: str | None = None
    local_only: bool = False
    folder: str | None = None
    """Where the files lie on this machine, for a network that was given as a folder."""
    architecture: str | None = None
    """timm only: the architecture's name where the folder does not say it."""
    arguments: dict[str, int | float | str | tuple[int, ...]] = {}
    """cifar only: the builder's arguments."""
    configuration: dict[str, int | float | str] = {}
    """transformers only: `model_type` and sizes as in `config.json`, from which a network of the
    same form is made without its files."""


class BackboneEntry(FileEntry):
    """A frozen pretrained network."""

    description: str
    family: Family
    modality: Modality
    scale: Scale
    source: BackboneSource
    form: Form | None = None
    """What it does, where its family can do several things: a language model that reads from left
    to right gives features (`text`) unless it is said that it writes its answers
    (`text_to_text`)."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """Of a text's features: over its tokens, its first or its last one. The default of a language
    model that reads from left to right is `last`."""
    image_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[Spread, Spread, Spread] | None = None
    licence: str
    reference: Reference | None = None

    @property
    def does(self) -> Form:
        """Its form: that of the entry, or what its family does."""
        return self.form or families()[self.family].form

    @model_validator(mode="after")
    def _family_has_the_form(self) -> "BackboneEntry":
        family = families()[self.family]
        if self.form not in (None, family.form, *family.other_forms):
            known = ", ".join((family.form, *family.other_forms))
            raise ValueError(f"form: the family {self.family} has {known}, not {self.form}")
        return self
