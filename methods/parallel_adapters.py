"""Parallel adapters: bottleneck layers beside the feed-forward sublayers.

He et al., "Towards a Unified View of Parameter-Efficient Transfer Learning", ICLR 2022,
https://arxiv.org/abs/2110.04366, the scaled parallel adapter of section 4.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
class ParallelAdapters(Method):
    """FFN(x) + s U relu(D x)."""

    bottleneck: int
    scale: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add adapters beside the feed-forward sublayers; all else stays frozen."""
        sites = backbone.of_kind("feed_forward")
        if not sites:
            raise Unsupported(f"{backbone.family} has no feed-forward sublayers")
        for site in sites:
            adapter = ParallelAdapter(site.width, self.bottleneck, self.scale)
            backbone.insert_parallel(site, adapter)
        return adapted(backbone, tasks, context_of(tasks))
