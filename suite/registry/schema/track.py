"""A track's YAML: its tasks, backbones and recipe, and the published results shown with it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from suite.registry.schema.base import Entry, FileEntry, Modality, Name
from suite.registry.schema.recipe import Recipes
from suite.registry.schema.scale import Scale


class PublishedRow(Entry):
    """A published result, shown hollow beside the measured ones and never ranked with them."""

    method: str
    """Name of a method of this registry where there is one, else the paper's name."""
    label: str
    backbone: str
    score: float
    scores: dict[str, float] = {}
    total_x: Annotated[float, Field(ge=0)] | None = None
    """The frozen backbone, unless it is not needed, and what is stored beside it, without heads."""
    replaces_backbone: bool = False
    """Whether the frozen backbone is not needed, as after full fine-tuning."""
    per_task_percent: Annotated[float, Field(ge=0)] | None = None
    source: str
    verified: bool
    """False: not read in the source itself; shown as "published (unverified)"."""
    setting: str = ""

    @model_validator(mode="after")
    def _counts_the_backbone(self) -> "PublishedRow":
        if self.total_x is not None and self.total_x < 1 and not self.replaces_backbone:
            raise ValueError(
                f"total_x: {self.total_x:g} is less than the frozen backbone, which it counts as "
                "1; if that is not needed: replaces_backbone: true"
            )
        return self

    @property
    def stored_x(self) -> float | None:
        """What is stored beyond the frozen backbone, in backbones; heads, which no paper counts,
        left out."""
        if self.total_x is None:
            return None
        return self.total_x if self.replaces_backbone else self.total_x - 1


class TrackStart(Entry):
    """A track whose cells start from what the same method learned on another, by one of its seeds
    (few-shot transfer: Karimi Mahabadi et al., 2021, section 4.3).

    A task starts from what its method keeps for all tasks there, and for the one that `tasks`
    names; output layers are new. All methods train on one task at a time.
    """

    track: Name
    tasks: dict[Name, Name]
    """Task of this track -> the task of the other that it is most like."""
    seed: Annotated[int, Field(ge=0)] = 0


class TrackEntry(FileEntry):
    """Tasks that are scored together, on named backbones, with one recipe."""

    description: str
    modality: Modality
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    backbones: dict[Scale, tuple[Name, ...]]
    score: Literal["mean", "decathlon"] = "mean"
    baseline_errors: dict[Name, float] = {}
    """Decathlon only: the error (0-1) of full fine-tuning, from which the score starts."""
    recipe: Recipes = {}
    search: dict[Scale, Annotated[tuple[Name, ...], Field(min_length=1)]] = {}
    """Tasks on which `tune` searches learning rates, given the track's name, at a third of the
    steps; at a scale without any: all of them at the recipe's steps."""
    start: TrackStart | None = None
    published: tuple[PublishedRow, ...] = ()
