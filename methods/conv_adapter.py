"""Conv-Adapter: a grouped and a pointwise convolution beside the 3x3 convolution of every block.

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
from suite.nn.batch_statistics import OwnStatistics
from suite.nn.convolution import ConvAdapter


@dataclass(frozen=True)
class ConvAdapters(Method):
    """relu(BN(conv(x))) + scale * P relu(G x)."""

    reduction: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add an adapter beside the 3x3 convolution of every block, joining after its norm and
        ReLU; all else stays frozen, but for the running statistics of the batch norms."""
        convs = [site for site in backbone.of_kind("conv") if site.layer >= 0]
        adapted_convs = [
            site
            for site in convs
            if backbone.layer(site, nn.Conv2d).kernel_size == (3, 3) and site.part != "block_output"
        ]
        if not adapted_convs:
            raise Unsupported(f"{backbone.family} has no 3x3 convolutions")
        ends = {site.layer: site for site in convs if site.part == "block_output"}
        for site in adapted_convs:
            conv = backbone.layer(site, nn.Conv2d)
            block = site.name.rpartition(".")[0]
            pool = getattr(backbone.network.get_submodule(block), "aa", None)
            if not isinstance(pool, nn.Identity | None):
                raise Unsupported(
                    f"{block} pools between its convolutions, and what an adapter gives has the "
                    "size from before"
                )
            hidden = conv.in_channels // self.reduction
            if conv.groups > 1:
                raise Unsupported(f"{site.name} has {conv.groups} groups, and an adapter has none")
            if not hidden or conv.in_channels % hidden:
                raise Unsupported(
                    f"{site.name}: {conv.in_channels} channels cannot be reduced by "
                    f"{self.reduction}"
                )
            backbone.insert_parallel(site, ConvAdapter(conv, hidden), reader=ends.get(site.layer))
        for site in backbone.of_kind("norm"):
            norm = backbone.module(site)
            if isinstance(norm, nn.BatchNorm2d):
                backbone.replace(site, OwnStatistics(norm))
        return adapted(backbone, tasks, context_of(tasks))
