"""The contract of a method: `adapt` is the only thing a contributor must write."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from suite.backbones.base import Backbone
from suite.backbones.parameters import ParameterSet
from suite.backbones.per_task import PerTask
from suite.data.batching import Batch
from suite.method.model import AdaptedModel
from suite.registry.schema import Recipe, TaskEntry


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay."""

    parameters: Collection[nn.Parameter]
    learning_rate: float
    weight_decay: float


class Validate(Protocol):
    """Scores the model, as it is now, on the validation splits of some tasks of the cell, or with
    no name of all."""

    def __call__(self, *tasks: str) -> Mapping[str, float]: ...  # noqa: D102


@dataclass(frozen=True)
class Phase:
    """One stretch of training with its own optimizer and schedule.

    Trains `parameters` (default: every parameter that requires a gradient) on `tasks`, for
    `share` of the cell's steps; the best validation score within the phase is kept. `prepare` is
    called when the phase begins, e.g. to start one phase's parameters from those of another;
    `finish` when its best state is back in the model, e.g. to merge what the phases learned.
    `penalty` is a term of the loss that sees the batch, called after the model has seen it; it
    keeps nothing from one step to the next. `observe` is shown every batch, and may keep some: a
    training that goes on from a checkpoint shows it those of the steps before again.
    `apart`: what it trains becomes a network of its own, a teacher or one that will be merged, so
    that its parameters count as trained once more.
    """

    tasks: Sequence[str]
    share: float = 1.0
    parameters: Collection[nn.Parameter] | None = field(default=None, repr=False)
    prepare: Callable[[], None] | None = field(default=None, repr=False)
    finish: Callable[[Validate], None] | None = field(default=None, repr=False)
    penalty: Callable[[Batch], Tensor] | None = field(default=None, repr=False)
    observe: Callable[[Batch], None] | None = field(default=None, repr=False)
    apart: bool = False


class Stepper(Protocol):
    """Takes the steps of some parameters in the optimizer's place; see `Method.stepper`."""

    parameters: ParameterSet

    @property
    def on_device(self) -> bool:
        """Whether `step` reads tensors on the device alone, so that a CUDA graph can replay it."""
        ...

    def prepare(self, factor: float, progress: float) -> None:
        """What the host does for a step at `factor` times the learning rates, `progress` (0 to 1)
        through a phase."""

    def step(self, other_norm: Tensor | None) -> Tensor | None:
        """The step, and the end of its gradients. If the recipe clips gradients, `other_norm` [] is
        the norm of all others, and what clipping multiplies every gradient with [] is returned."""

    def settle(self) -> bool:
        """What the host does after a step; whether it gave up or moved tensors, so that no earlier
        state can be restored."""

    def close(self) -> None:
        """Leave the model as if its parameters had been trained like all others."""

    def state(self) -> Mapping[str, Tensor]:
        """All that decides the steps to come, by name, its parameters included."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put a new stepper of the same parameters where the `state` of another one was."""


@dataclass(frozen=True)
class Method(ABC):
    """Base of every method; the fields of a subclass are the options of its YAML."""

    @property
    def steps_alike(self) -> bool:
        """Whether all steps of a phase compute the same on other batches, at other rates: not where
        `penalty` or the model follow the progress of training. A GPU then replays them."""
        return type(self).penalty is Method.penalty

    @abstractmethod
    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Change `backbone` in place and return the model for `tasks` (one task if the method is
        `per_task`). Every parameter that is to be trained requires a gradient, no other does.
        Raise `Unsupported` with the reason where the method is not defined."""

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """How training proceeds; by default everything at once."""
        return (Phase(tasks=tuple(model.tasks)),)

    def parameter_groups(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> tuple[ParameterGroup, ...]:
        """Optimizer groups over `parameters`; by default heads may have their own rate."""
        heads = ParameterSet(
            parameter
            for module in model.modules()
            if isinstance(module, PerTask) and module.head
            for parameter in module.parameters()
        )
        head_rate = recipe.head_learning_rate or recipe.learning_rate
        return (
            ParameterGroup(parameters - heads, recipe.learning_rate, recipe.weight_decay),
            ParameterGroup(parameters & heads, head_rate, recipe.weight_decay),
        )

    def penalty(self, model: AdaptedModel, progress: float) -> Tensor | None:
        """A term added to the loss of every step; `progress` runs from 0 to 1 within a phase."""
        return None

    def stepper(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> Stepper | None:
        """The stepper of some of a phase's `parameters` in the optimizer's place; by default
        there is none. These parameters need not be part of autograd's graph: other terms of the
        loss that concern them, such as a penalty on them alone, are then the stepper's task."""
        return None

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """Which of the trained or added tensors must be saved; by default all of them.

        It is called several times, also before training, and may first write a packed form into
        parameters that do not train or into buffers of integers, whose sizes may change. Buffers of
        floats are for running statistics alone.
        """
        return names

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """Put saved tensors into a freshly adapted model.

        Afterwards it answers exactly as the saved one did, even if it had been trained before; and
        loading its former tensors again gives it back. `model.state_dict()` holds tensors in place;
        the default copies each by its name and expects exactly those that `stored` names.
        """
        state = model.state_dict(keep_vars=True)
        for name, tensor in tensors.items():
            state[name].data.copy_(tensor)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """Measured quantities that the cost formula or the leaderboard uses, by name."""
        return {}
