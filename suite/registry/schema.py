"""What a registry file may say: one frozen model per kind of entry.

Unknown keys are errors. Everything the engine knows of methods, tasks, tracks and backbones comes
from these models; no module compares names.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
Scale = Literal["mini", "full"]
Modality = Literal["text", "image"]
Family = Literal["resnet", "densenet", "vit", "bert", "t5"]
SiteKind = Literal[
    "attention", "feed_forward", "block", "conv", "linear", "norm", "patch_embedding", "head"
]
OptionValue = bool | int | float | str

FAMILIES: tuple[Family, ...] = ("resnet", "densenet", "vit", "bert", "t5")
SCALES: tuple[Scale, ...] = ("mini", "full")


class Entry(BaseModel):
    """Base of every model: immutable, and unknown keys are errors.

    A validator over several keys starts its message with the key at which the loader shall point.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(Entry):
    """An entry with a file of its own. `path` is filled in by the loader, never written in YAML."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    path: Path = Field(default=Path(), exclude=True)


class Reference(Entry):
    """Where an idea, a data set or a number comes from."""

    title: str
    url: str | None = None
    year: int | None = None


class Recipe(Entry):
    """How a cell is trained. `steps` counts optimizer steps per task: a joint method over T tasks
    takes T times as many, so that every method sees the same number of examples per task."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    steps: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 32
    evaluations: Annotated[int, Field(ge=1)] = 4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    augmentation: Literal["none", "flip", "crop", "crop_flip"] = "none"
    temperature: Annotated[float, Field(ge=1)] = 10.0
    mixed_batches: bool = False
    """Whether a joint method's batches hold rows of several tasks, not of one."""
    max_length: Annotated[int, Field(ge=4)] = 128


class RecipeChange(Entry):
    """The recipe keys that a track, a method or the command line sets; the rest is inherited."""

    optimizer: Literal["adamw", "sgd"] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule: Literal["constant", "linear", "cosine"] | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    evaluations: Annotated[int, Field(ge=1)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    augmentation: Literal["none", "flip", "crop", "crop_flip"] | None = None
    temperature: Annotated[float, Field(ge=1)] | None = None
    mixed_batches: bool | None = None
    max_length: Annotated[int, Field(ge=4)] | None = None


RecipeKey = Literal["default", "resnet", "densenet", "vit", "bert", "t5"]
Recipes = dict[Scale, dict[RecipeKey, RecipeChange]]
"""Scale -> `default` or a backbone family -> what changes; the family wins over the default."""

TRIALS = 4
"""Learning rates that a search tries: as many for every method, so that none is favoured."""
Rates = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=TRIALS, max_length=TRIALS)
]
Tuning = dict[Scale, dict[RecipeKey, Rates]]
"""Scale -> `default` or a backbone family -> the learning rates that `tune` tries."""


class CostTerm(Entry):
    """One summand of a closed-form parameter count.

    `count` is an arithmetic expression over the method's options, the facts it reports and the
    backbone's dimensions (see `suite.registry.cost_names`). With `each`, it is summed over the
    sites of these kinds and may also use `w`, the width of the site, and `i`, `o`, `k` of a conv or
    linear site.
    """

    count: str
    each: tuple[SiteKind, ...] = ()


class Cost(Entry):
    """Closed-form parameter counts: stored once for all tasks, and again for each task."""

    shared: tuple[CostTerm, ...] = ()
    per_task: tuple[CostTerm, ...] = ()


class Option(Entry):
    """One option of a method: its default, what it means and, where limited, its choices."""

    default: OptionValue
    description: str
    choices: tuple[OptionValue, ...] = ()
    mini: OptionValue | None = None
    """The default at mini scale, where it differs."""


class MethodEntry(FileEntry):
    """A way to adapt a backbone to one task (`per_task`) or to a whole track at once (`joint`)."""

    title: str
    summary: str
    regime: Literal["per_task", "joint"]
    families: tuple[Family, ...]
    unsupported: dict[Family, str] = {}
    """Why the method is not defined on a family; every family is in `families` or here."""
    adaptation: dict[Family, str] = {}
    """On which families this is our own form of the method, not its paper's, and what differs."""
    python: str | None = None
    """The file that defines the method, beside the YAML; default: NAME.py."""
    reference: Reference
    options: dict[Name, Option] = {}
    facts: dict[Name, str] = {}
    """Measured quantities the method reports (name -> meaning), usable in `cost`."""
    recipe: Recipes = {}
    tuning: Tuning = {}
    cost: Cost
    cost_stated: bool = Field(default=True, exclude=True)
    """False only for a class that is tried out without a closed form, never written in YAML."""
    task_prefix: bool = False
    """Text-to-text sources begin with the task's name, for a network that nothing else tells."""
    replaces_backbone: bool = False
    """What is stored holds a changed copy of the whole backbone: the frozen one is not needed."""
    notes: str = ""

    @property
    def python_path(self) -> Path:
        """The file that defines the method, beside the YAML."""
        return self.path.parent / self.python if self.python else self.path.with_suffix(".py")

    def trial_rates(self, scale: Scale, family: Family) -> tuple[float, ...]:
        """The learning rates that a search tries on a family; none if the file names none."""
        rates = self.tuning.get(scale, {})
        return rates.get(family) or rates.get("default") or ()

    @model_validator(mode="after")
    def _every_family_is_covered(self) -> "MethodEntry":
        covered = [*self.families, *self.unsupported]
        missing = [family for family in FAMILIES if family not in covered]
        if missing:
            raise ValueError(
                f"families: say here, or in 'unsupported' with the reason, what holds for: "
                f"{', '.join(missing)}"
            )
        twice = [family for family in self.families if family in self.unsupported]
        if twice:
            raise ValueError(f"unsupported: also in 'families': {', '.join(twice)}")
        return self


def _named(labels: object) -> object:
    """A number of classes as so many names; names as they are."""
    if isinstance(labels, int) and not isinstance(labels, bool):
        return tuple(map(str, range(labels)))
    return tuple(labels) if isinstance(labels, list) else labels


class Classification(Entry):
    """One of n classes: their names in the order of their indices, or how many there are."""

    type: Literal["classification"]
    labels: Annotated[tuple[str, ...], Field(min_length=2), BeforeValidator(_named)]


class Regression(Entry):
    """A number in a closed range."""

    type: Literal["regression"]
    minimum: float
    maximum: float


Output = Annotated[Classification | Regression, Field(discriminator="type")]
MetricName = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]


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
    label: str = "label"
    image: str = "image"
    split_rule: Literal["halve_validation", "carve_from_train", "named"]
    splits: dict[Literal["train", "validation", "test"], str] = {}
    carve: Annotated[int, Field(ge=1)] = 1000


class Sources(Entry):
    """Where the examples come from at each scale."""

    mini: GeneratedSource | None = None
    full: HubSource | None = None


class TaskEntry(FileEntry):
    """One data set with its splits, its metric and its output space."""

    description: str
    modality: Modality
    output: Output
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)]
    text: Text | None = None
    sources: Sources
    official: dict[str, int] = {}
    """Official row counts by hub split, so that a subset is recognised and named."""
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


class PublishedRow(Entry):
    """A published result, shown hollow beside the measured ones and never ranked with them."""

    method: str
    """Name of a method of this registry where there is one, else the paper's name."""
    label: str
    backbone: str
    score: float
    scores: dict[str, float] = {}
    total_x: float | None = None
    """The frozen backbone, unless it is not needed, and what is stored beside it, without heads."""
    replaces_backbone: bool = False
    """Whether the frozen backbone is not needed, as after full fine-tuning."""
    per_task_percent: float | None = None
    source: str
    verified: bool
    """False: not read in the source itself; shown as "published (unverified)"."""
    setting: str = ""

    @property
    def stored_x(self) -> float | None:
        """What is stored beyond the frozen backbone, in backbones; heads, which no paper counts,
        left out."""
        if self.total_x is None:
            return None
        return self.total_x if self.replaces_backbone else self.total_x - 1


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
    published: tuple[PublishedRow, ...] = ()


class BackboneSource(Entry):
    """Who builds the network and where its weights lie.

    At mini scale `id` is a folder shipped inside the package; at full scale a hub id or a folder
    below `$SUITE_DATA/models`.
    """

    library: Literal["cifar", "timm", "transformers"]
    id: str
    revision: str | None = None
    local_only: bool = False
    architecture: str | None = None
    """timm only: the architecture's name where the folder does not say it."""
    arguments: dict[str, int | float | str | tuple[int, ...]] = {}
    """cifar only: the builder's arguments."""


class BackboneEntry(FileEntry):
    """A frozen pretrained network."""

    description: str
    family: Family
    modality: Modality
    scale: Scale
    source: BackboneSource
    pooling: Literal["mean", "cls"] = "mean"
    image_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    licence: str
    reference: Reference | None = None
