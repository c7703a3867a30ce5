"""AdaMerging: task vectors are merged by coefficients that make predictions certain.

Yang et al., "AdaMerging: Adaptive Model Merging for Multi-Task Learning", ICLR 2024,
https://arxiv.org/abs/2310.02575.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from suite.backbones.base import TextToTextBackbone
from suite.data.batching import Batch, MixedBatch
from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    ParameterGroup,
    ParameterSet,
    Phase,
    Recipe,
    TaskEntry,
    Unsupported,
    Validate,
    context_of,
)
from suite.method.merging import fine_tunings, merging_phases
from suite.method.model import HeadedModel, TextToTextModel
from suite.nn.mixture import Mixture, entropy
from suite.registry.schema import Classification


@dataclass(frozen=True)
class AdaMerging(Method):
    """W = W0 + sum_t c[i, t] (W_t - W0) in every tensor i; the c[i, t] minimise entropy."""

    initial: float
    coefficient_share: float
    coefficient_learning_rate: float
    head_share: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; the coefficients only serve training and are not stored."""
        backbone.network.requires_grad_(True)
        form = _TextToText if isinstance(backbone, TextToTextBackbone) else _Headed
        model: _Unlabelled = form(backbone, tasks, context_of(tasks))
        if not any(map(model.has_entropy, model.tasks)):
            raise Unsupported("the entropy of predictions needs a task with classes")
        tensors = len(list(backbone.network.parameters()))
        model.coefficients = nn.Parameter(torch.full((tensors, len(tasks)), self.initial))
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task from the first state; the coefficients; each head on the merged network."""
        assert isinstance(model, _Unlabelled)
        tuned = fine_tunings(model)
        mixture = Mixture(model.backbone.network, model.coefficients)

        def show() -> None:
            mixture.show(tuned.vectors, tuned.sizes)
            model.unlabelled = True

        def merge(validate: Validate) -> None:
            model.unlabelled = False
            tuned.merge(mixture.hide())

        share = self.coefficient_share
        phases = [
            replace(phase, share=(1 - share) * phase.share)
            for phase in merging_phases(model, tuned, lambda validate: None, self.head_share)
        ]
        tasks = tuple(filter(model.has_entropy, model.tasks))
        mixing = Phase(tasks, share, [model.coefficients], prepare=show, finish=merge)
        trainings = len(model.tasks)
        return (*phases[:trainings], mixing, *phases[trainings:])

    def parameter_groups(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> tuple[ParameterGroup, ...]:
        """Coefficients have a learning rate of their own and no weight decay."""
        assert isinstance(model, _Unlabelled)
        own = parameters & ParameterSet([model.coefficients])
        return (
            *super().parameter_groups(model, parameters - own, recipe),
            ParameterGroup(own, self.coefficient_learning_rate, weight_decay=0.0),
        )

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """Everything but the coefficients."""
        return [name for name in names if name != "coefficients"]

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """The mean over the network's tensors of each task's coefficient."""
        assert isinstance(model, _Unlabelled)
        means = model.coefficients.detach().clamp(0, 1).mean(0).tolist()
        return {f"coefficient@{task}": mean for task, mean in zip(model.tasks, means, strict=True)}


class _Unlabelled(AdaptedModel):
    """What makes a model's loss the entropy of its predictions, while it is `unlabelled`; the class
    that computes the model's own loss follows in the order of bases."""

    coefficients: nn.Parameter
    unlabelled = False

    def has_entropy(self, task: str) -> bool:
        """Whether predictions for the task are probabilities."""
        return isinstance(self.tasks[task].output, Classification)

    def predictions(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, n] of the active task."""
        return self(inputs)

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """The entropy of a batch, whose answers are not looked at; or the model's own loss."""
        if not self.unlabelled:
            return super().loss(batch, label_smoothing)  # type: ignore[safe-super]
        self.context.activate(batch.task)
        return entropy(self.predictions(batch.inputs).float())

    def mixed_loss(self, batch: MixedBatch, label_smoothing: float = 0.0) -> Tensor:
        """The same over the rows of several tasks."""
        if not self.unlabelled:
            return super().mixed_loss(batch, label_smoothing)  # type: ignore[safe-super]
        losses = [len(part.targets) * self.loss(part) for part in batch]
        return torch.stack(losses).sum() / sum(len(part.targets) for part in batch)


class _Headed(_Unlabelled, HeadedModel):
    pass


class _TextToText(_Unlabelled, TextToTextModel):
    def has_entropy(self, task: str) -> bool:
        return True

    def predictions(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits of the first token of the answer, before which there is only a start token."""
        ids = next(iter(inputs.values()))
        return self(inputs, torch.zeros_like(ids[:, :1]))[:, 0]
