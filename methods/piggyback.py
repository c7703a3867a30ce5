"""Piggyback: each task learns which weights of the network to keep, one bit for each.

Mallya, Davis and Lazebnik, "Piggyback: Adapting a Single Network to Multiple Tasks by Learning to
Mask Weights", ECCV 2018, https://arxiv.org/abs/1801.06519.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of
from suite.nn.masked import masked, named_masks, packed, unpack_all


@dataclass(frozen=True)
class Piggyback(Method):
    """W = W0 * 1[score > threshold] in every convolution and linear layer."""

    initial_score: float
    threshold: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Mask every weight matrix and kernel; biases and norms stay frozen."""
        context = context_of(tasks)
        for site in backbone.of_kind("conv", "linear", "patch_embedding"):
            layer = backbone.module(site)
            backbone.replace(site, masked(layer, context, self.initial_score, self.threshold))
        return adapted(backbone, tasks, context)

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """The masks as bits, not their scores."""
        return packed(model, names)

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """Scores on the side of the threshold that the bits give."""
        super().load(model, tensors)
        unpack_all(model)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """How many weights have a mask, and how many of them the task drops."""
        masks = [mask for _, mask in named_masks(model)]
        dropped = sum(int((mask.score <= mask.threshold).sum()) for mask in masks)
        return {
            "masked_weights": sum(mask.score.numel() for mask in masks),
            "dropped_weights": dropped,
        }
