"""AdaptFormer: bottleneck layers beside the MLPs of a vision transformer.

Chen et al., "AdaptFormer: Adapting Vision Transformers for Scalable Visual Recognition", NeurIPS
2022, https://arxiv.org/abs/2205.13535.
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
from suite.nn.adapter import ParallelAdapter


@dataclass(frozen=True)
class AdaptFormer(Method):
    """MLP(LN(x)) + s U relu(D x)."""

    bottleneck: int
    scale: float
    dropout: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add adapters that read what enters the residual branch, and normalise the features over
        the batch; all else stays frozen."""
        sites = backbone.of_kind("feed_forward")
        head = getattr(backbone.network, "head", None)
        if not sites or not isinstance(head, nn.Identity):
            raise Unsupported(
                f"{backbone.family} has no feed-forward sublayers, or no place for a head"
            )
        for site in sites:
            adapter = ParallelAdapter(site.width, self.bottleneck, self.scale, self.dropout)
            backbone.insert_parallel(site, adapter, before_norm=True)
        # The public code normalises the features that the head reads.
        backbone.network.head = nn.BatchNorm1d(backbone.width, eps=1e-6, affine=False)
        return adapted(backbone, tasks, context_of(tasks))
