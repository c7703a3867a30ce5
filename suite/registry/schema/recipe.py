"""How cells are trained: whole recipes, what entries change in them, and the rates to search."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from suite.registry.schema.base import Entry, Family, Name
from suite.registry.schema.scale import Scale

REQUESTED = ("steps", "batch_size", "examples", "precision")
"""What a request may change of every recipe: how long methods train, on how much at a time and in
all, and in which arithmetic."""

TRACK_KEYS = (
    "schedule", "warmup", *REQUESTED, "evaluations", "clip_norm", "label_smoothing", "augmentation",
    "max_length",
)  # fmt: skip
"""What the track decides for all methods, so that a board compares like with like: how long they
train, on what, and along which schedule. The other keys are each method's own."""


MOST_STEPS = 10**9
MOST_IN_A_BATCH = 10**6
MOST_EXAMPLES = 10**9
"""Limits far above what anybody runs, and below what no machine can."""
LOWEST_RATE, HIGHEST_RATE = 1e-300, 1e30
"""A search that goes on does not go beyond them, where floats end."""
Rate = Annotated[float, Field(gt=0, le=HIGHEST_RATE)]
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Augmentation = Literal["none", "flip", "crop", "crop_flip"]
Precision = Literal["auto", "float32", "bfloat16"]


class RecipeKeys(Entry):
    """What YAML may say of how cells are trained, with the defaults."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Rate = 1e-3
    head_learning_rate: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    steps: Steps = 100
    batch_size: Annotated[int, Field(ge=1, le=MOST_IN_A_BATCH)] = 32
    examples: Annotated[int, Field(ge=1, le=MOST_EXAMPLES)] | None = None
    """Train on so many examples of a task at most, drawn by the cell's seed; None for all."""
    evaluations: Annotated[int, Field(ge=1, le=10_000)] = 4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    augmentation: Augmentation = "none"
    temperature: Annotated[float, Field(ge=1, le=10**6)] = 10.0
    mixed_batches: bool = False
    """Whether each batch of a joint method holds examples of several tasks, not of one."""
    max_length: Annotated[int, Field(ge=4, le=2**20)] = 128
    precision: Precision = "auto"
    """Of the arithmetic, in training and in scoring; weights are float32. `bfloat16` is torch's
    autocast, `auto` is that on a GPU and float32 on a CPU."""


class Recipe(RecipeKeys):
    """How a cell is trained. `steps` counts optimizer steps per task: a joint method over T tasks
    takes T times as many, so that every method sees the same number of examples per task."""

    augmentations: dict[str, Augmentation] = {}
    """Task -> its own augmentation, where the tasks of a joint method have several."""

    def augmentation_of(self, task: str) -> Augmentation:
        """How a task's training images are augmented."""
        return self.augmentations.get(task, self.augmentation)


class TaskRecipe(Entry):
    """What differs from the track's recipe on one task, for all methods, and who says so."""

    steps: Steps | None = None
    augmentation: Augmentation | None = None
    source: Annotated[str, Field(min_length=1)]


class RecipeChange(RecipeKeys):
    """The recipe keys that a track or a method sets; the rest is inherited.

    An attribute that was not written has the default of `RecipeKeys`: read `written`.
    """

    @property
    def written(self) -> Mapping[str, object]:
        """The keys that were set."""
        return self.model_dump(exclude_unset=True)


class RecipeException(RecipeChange):
    """What a method changes of one track's recipe on one family, and who says so."""

    source: Annotated[str, Field(min_length=1)]
    """The paper, section or file of code that the change is taken from."""

    @property
    def written(self) -> Mapping[str, object]:
        """The keys that were set, the source aside."""
        return self.model_dump(exclude_unset=True, exclude={"source"})


if TYPE_CHECKING:
    RecipeKey = str
else:
    RecipeKey = Literal["default", Family]
Recipes = dict[Scale, dict[RecipeKey, RecipeChange]]
"""Scale -> `default` or a backbone family -> what changes; the family wins over the default."""
RecipeExceptions = dict[Scale, dict[Name, dict[Family, RecipeException]]]
"""Scale -> track -> backbone family -> what a method changes there of the track's recipe."""

TRIALS = 4
"""Learning rates on the grid of a search: as many for every method, so that none is favoured."""
RATIO = 3.0
"""Between neighbours of a grid that is made around a recipe's rate."""
DIGITS = 3
"""Significant ones of a rate that is tried."""


def _ascending(rates: tuple[float, ...]) -> tuple[float, ...]:
    """Refuses rates of which one is not above the one before, in the digits that count: the search
    goes on by the ratio at an edge, and would try a rate again, or miss a typing error."""
    for before, rate in pairwise(rates):
        if not _shortened(rate) > _shortened(before):
            raise ValueError(f": rates must ascend, and {rate:g} stands after {before:g}")
    return rates


def _shortened(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")


Rates = Annotated[
    tuple[Rate, ...],
    Field(min_length=TRIALS, max_length=TRIALS),
    AfterValidator(_ascending),
]
Tuning = dict[Scale, dict[RecipeKey, Rates]]
"""Scale -> `default` or a backbone family -> the learning rates at which `tune` begins."""


def on_grid(rates: Sequence[float], recipe_rate: float, place: int) -> float:
    """The learning rate at a place of a search's grid: of `rates`, which ascend, or without any of
    the recipe's rate / 3, itself, x 3 and x 9. Places below 0 and from `TRIALS` on continue
    the grid by the ratio at its edge."""
    grid = rates or [recipe_rate * RATIO**power for power in range(-1, TRIALS - 1)]
    if place < 0:
        rate = grid[0] * (grid[0] / grid[1]) ** -place
    elif place < len(grid):
        rate = grid[place]
    else:
        rate = grid[-1] * (grid[-1] / grid[-2]) ** (place - len(grid) + 1)
    return _shortened(min(max(rate, LOWEST_RATE), HIGHEST_RATE))
