"""SSF: the features behind every layer are scaled and shifted.

Lian et al., "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning", NeurIPS
2022, https://arxiv.org/abs/2210.08823.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of
from suite.nn.scale_shift import ScaleShift


@dataclass(frozen=True)
class SSF(Method):
    """g * f(x) + b behind every convolution, linear layer and norm f."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Put a scale and a shift behind every layer, which stays frozen.

        Keys are scaled only: a shift of all keys adds the same to every score of a query, which the
        softmax takes away again.
        """
        for site in backbone.of_kind("conv", "linear", "norm", "patch_embedding"):
            layer = backbone.module(site)
            backbone.replace(site, ScaleShift(layer, site.width, shift=site.part != "key"))
        return adapted(backbone, tasks, context_of(tasks))
