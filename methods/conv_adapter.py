"""Conv-Adapter: a grouped and a pointwise convolution beside the 3x3 convolutions.

Chen et al., "Conv-Adapter: Exploring Parameter Efficient Transfer Learning for ConvNets",
https://arxiv.org/abs/2208.07463, its "convolution parallel" scheme.
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
from suite.nn.convolution import ConvAdapter


@dataclass(frozen=True)
class ConvAdapters(Method):
    """conv(x) + scale * P relu(G x)."""

    reduction: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add an adapter beside every 3x3 convolution of the blocks; all else stays frozen."""
        convs = [
            site
            for site in backbone.of_kind("conv")
            if site.depth >= 0 and backbone.layer(site, nn.Conv2d).kernel_size == (3, 3)
        ]
        if not convs:
            raise Unsupported(f"{backbone.family} has no 3x3 convolutions")
        for site in convs:
            conv = backbone.layer(site, nn.Conv2d)
            hidden = conv.in_channels // self.reduction
            if not hidden or conv.in_channels % hidden or conv.groups > 1:
                raise Unsupported(
                    f"{site.name}: {conv.in_channels} channels cannot be reduced by "
                    f"{self.reduction}"
                )
            backbone.insert_parallel(site, ConvAdapter(conv, hidden))
        return adapted(backbone, tasks, context_of(tasks))
