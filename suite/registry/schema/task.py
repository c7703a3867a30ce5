"""A task's YAML: its output, its metrics and where its examples come from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from suite.registry.schema.base import DIGEST_PATTERN, Entry, FileEntry, Modality, Reference
from suite.registry.schema.recipe import TaskRecipe
from suite.registry.schema.scale import Scale


def _named(labels: object) -> object:
    """A number of classes as so many names; names as they are."""
    if isinstance(labels, int) and not isinstance(labels, bool):
        return tuple(map(str, range(labels)))
    return tuple(labels) if isinstance(labels, list) else labels


class Classification(Entry):
    """One of n classes: their names in the order of their indices, or how many there are."""

    type: Literal["classification"]
    labels: Annotated[tuple[str, ...], Field(min_length=2), BeforeValidator(_named)]


class MultiLabel(Entry):
    """Any set of n labels, the empty one too: a yes or no for each label, all of one head.

    A label is given where its probability is above 0.5. Text-to-text backbones cannot answer it.
    """

    type: Literal["multilabel"]
    labels: Annotated[tuple[str, ...], Field(min_length=2), BeforeValidator(_named)]


MOST_STEPS = 10_000
NARROWEST = 0.1
"""Results keep numbers with four decimals."""
FINEST = 1e-4
"""Of the larger bound: labels have the 24 bits of float32."""
LARGEST = 1e9


class Regression(Entry):
    """A number in a closed range.

    A text-to-text backbone writes it rounded to a multiple of `step` above `minimum`, and is scored
    against answers rounded alike; by default there are 25 steps, as of 0.2 in T5's form of STS-B.
    """

    type: Literal["regression"]
    minimum: float
    maximum: float
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_a_range(self) -> "Regression":
        if not self.minimum < self.maximum:
            raise ValueError("maximum: must be larger than minimum")
        span, largest = self.maximum - self.minimum, max(abs(self.minimum), abs(self.maximum))
        if span < NARROWEST:
            raise ValueError(
                f"maximum: a range of {span:g} is lost in results, which keep four decimals: "
                "multiply the labels"
            )
        if span < FINEST * largest:
            raise ValueError(
                f"maximum: a range of {span:g} is lost beside {largest:g}: take an offset from the "
                "labels"
            )
        if largest > LARGEST:
            raise ValueError(f"maximum: the range must lie within ±{LARGEST:g}, divide the labels")
        if self.step is not None and self.step > span:
            raise ValueError("step: must not be larger than the range")
        if self.step is not None and span / self.step > MOST_STEPS:
            raise ValueError(
                f"step: gives {span / self.step:,.0f} answers, at most {MOST_STEPS:,} are allowed"
            )
        return self


Output = Annotated[Classification | MultiLabel | Regression, Field(discriminator="type")]


class Text(Entry):
    """The text columns of a task and its text-to-text source, as in `sentence1: {sentence1}`."""

    columns: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]
    template: str

    @model_validator(mode="after")
    def _template_uses_the_columns(self) -> "Text":
        for column in self.columns:
            if "{" + column + "}" not in self.template:
                raise ValueError(f"template: does not contain {{{column}}}")
        return self


SplitName = Literal["train", "validation", "test"]


class GeneratedSource(Entry):
    """Examples made by a function of a Python file beside the task's YAML."""

    python: str
    function: str
    version: Annotated[int, Field(ge=1)]
    digest: Annotated[str, Field(pattern=DIGEST_PATTERN)]


class HubSource(Entry):
    """A hub data set, or the same layout below `$SUITE_DATA/datasets`.

    `halve_validation`: a fixed permutation of the `validation` split, first half validation,
    second half test. `carve_from_train`: `carve` fixed rows of `train` become validation and
    leave the training set; `test` is the test split. `named`: the three splits as named.
    """

    hub: str
    config: str = "default"
    revision: str | None = None
    local_only: bool = False
    """The data set is not on the hub under this id; it can only come from SUITE_DATA."""
    label: str | Annotated[tuple[str, ...], Field(min_length=2)] = "label"
    """The column with the answers; of several labels also a column of each, with 0 or 1 in it, in
    the order of `output.labels`."""
    image: str = "image"
    split_rule: Literal["halve_validation", "carve_from_train", "named"]
    splits: dict[SplitName, str] = {}
    carve: Annotated[int, Field(ge=1)] = 1000
    drop_labels: tuple[int | str | None, ...] = ()
    """Rows with one of these labels are left out: -1 or null where annotators did not agree."""
    duplicates: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The largest share of test examples that may be in train, too: some benchmarks have them."""

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns with the answers."""
        return (self.label,) if isinstance(self.label, str) else self.label


class Sources(Entry):
    """Where the examples come from at each scale."""

    mini: GeneratedSource | None = None
    full: HubSource | None = None

    def at(self, scale: Scale) -> GeneratedSource | HubSource | None:
        """The source at a scale; None if the task is not defined there."""
        return self.mini if scale == Scale.MINI else self.full


class TaskEntry(FileEntry):
    """One data set with its splits, its metric and its output space."""

    description: str
    modality: Modality
    output: Output
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of `suite.registry.metrics`."""
    text: Text | None = None
    sources: Sources
    recipe: dict[Scale, TaskRecipe] = {}
    """Where the task is trained longer, shorter or on other images than the track's others."""
    official: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Official row counts by hub split, so that a subset is recognised and named; where validation
    rows are halved, under `train` and `validation`."""
    licence: str
    reference: Reference | None = None
    track: str = ""
    """Filled in by the loader: the folder the file lies in."""

    def prefixed(self) -> "TaskEntry":
        """The same task with its name in front of its text-to-text source."""
        if self.text is None:
            return self
        template = f"{self.name} {self.text.template}"
        text = self.text.model_copy(update={"template": template})
        return self.model_copy(update={"text": text})

    def without_sources(self) -> "TaskEntry":
        """The same task as a method sees it: what is asked, not where the examples are."""
        return self.model_copy(update={"sources": Sources(), "path": Path()})

    @model_validator(mode="after")
    def _text_tasks_say_their_columns(self) -> "TaskEntry":
        if (self.modality == "text") != (self.text is not None):
            raise ValueError("modality: a text task needs 'text', an image task must not have it")
        return self
