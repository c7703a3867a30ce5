"""TAPS: each task learns which layers to change, and stores only those.

Wallingford et al., "Task Adaptive Parameter Sharing for Multi-Task Learning", CVPR 2022,
https://arxiv.org/abs/2203.16708.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    ParameterGroup,
    Recipe,
    Stepper,
    TaskEntry,
    adapted,
    context_of,
)
from suite.nn.gated import gated, gates, mean_score, open_stored, split_scores, without_closed
from suite.nn.gated_training import GateTraining, gate_stepper


@dataclass(frozen=True)
class Taps(Method):
    """W = W0 + 1[s >= threshold] * delta in every convolution and linear layer."""

    initial_score: float
    threshold: float
    gate_penalty: float
    gate_warmup: float
    score_learning_rate: float
    lock_after: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Gate every weight matrix and kernel; norms and head are the task's own."""
        context = context_of(tasks)
        for site in backbone.of_kind("conv", "linear", "patch_embedding"):
            layer = backbone.module(site)
            backbone.replace(site, gated(layer, context, self.initial_score, self.threshold))
        backbone.specialise(backbone.of_kind("norm"), context)
        return adapted(backbone, tasks, context)

    def parameter_groups(
        self, model: AdaptedModel, parameters: Sequence[nn.Parameter], recipe: Recipe
    ) -> tuple[ParameterGroup, ...]:
        """Scores have a learning rate of their own and no weight decay."""
        scores, others = split_scores(model, parameters)
        return (
            *super().parameter_groups(model, others, recipe),
            ParameterGroup(scores, self.score_learning_rate, weight_decay=0.0),
        )

    def penalty(self, model: AdaptedModel, progress: float) -> Tensor | None:
        """lambda * mean |s|, after a warm-up in which changes may prove themselves."""
        if progress < self.gate_warmup:
            return None
        return self.gate_penalty * mean_score(model, model.context.active)

    def stepper(
        self, model: AdaptedModel, parameters: Sequence[nn.Parameter], recipe: Recipe
    ) -> Stepper | None:
        """Gates and changes step in an arena, which costs what training the layers would."""
        training = GateTraining(
            self.gate_penalty, self.gate_warmup, self.score_learning_rate, self.lock_after
        )
        return gate_stepper(model, parameters, training, recipe)

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """No scores, and no changes behind closed gates."""
        return without_closed(model, names)

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """A layer without a stored change is closed."""
        super().load(model, tensors)
        open_stored(model, tensors)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """How many layers, and how many weights, the task changes."""
        own = gates(model, model.context.active)
        changed = [gate.delta.numel() for gate in own if gate.is_open]
        return {
            "gated_layers": len(own),
            "open_layers": len(changed),
            "open_weights": sum(changed),
        }
