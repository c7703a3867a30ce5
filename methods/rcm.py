"""RCM: convolutions are split into frozen filter banks and a task's mixtures of their responses.

Kanakis et al., "Reparameterizing Convolutions for Incremental Multi-Task Learning without Task
Interference", ECCV 2020, https://arxiv.org/abs/2007.12540.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.rcm import reparameterised


@dataclass(frozen=True)
class RCM(Method):
    """W = W_t W_s with W_s frozen, started from the principal directions of the responses."""

    normalised: bool

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Split every convolution with a kernel larger than 1x1; batch norms and the convolutions
        of shortcuts are the task's own."""
        context = context_of(tasks)
        convs = [
            site
            for site in backbone.of_kind("conv")
            if backbone.layer(site, nn.Conv2d).kernel_size != (1, 1)
        ]
        if not convs:
            raise Unsupported(f"{backbone.family} has no convolutions with a kernel")
        for site in convs:
            layer = backbone.layer(site, nn.Conv2d)
            backbone.replace(site, reparameterised(layer, context, self.normalised))
        shortcuts = [site for site in backbone.of_kind("conv") if site.part == "shortcut"]
        backbone.specialise([*backbone.of_kind("norm"), *shortcuts], context)
        return adapted(backbone, tasks, context)
