"""Norm tuning: only the scales and shifts of the normalisation layers are trained.

Frankle, Schwab and Morcos, "Training BatchNorm and Only BatchNorm", ICLR 2021,
https://arxiv.org/abs/2003.00152; Qi et al., "Parameter-Efficient Tuning on Layer Normalization for
Pre-trained Language Models", https://arxiv.org/abs/2211.08682.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of


@dataclass(frozen=True)
class NormTuning(Method):
    """The cheapest change that every family of networks allows."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train every norm layer; batch-norm statistics become the task's own."""
        backbone.unfreeze(backbone.of_kind("norm"))
        return adapted(backbone, tasks, context_of(tasks))
