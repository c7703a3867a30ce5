"""Convpass: convolutional bypasses beside the sublayers of a vision transformer.

Jie and Deng, "Convolutional Bypasses Are Better Vision Transformer Adapters",
https://arxiv.org/abs/2207.07039.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    SiteKind,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.convpass import ConvBypass

KINDS: Mapping[str, tuple[SiteKind, ...]] = {
    "both": ("attention", "feed_forward"),
    "attention": ("attention",),
}


@dataclass(frozen=True)
class Convpass(Method):
    """f(LN(x)) + s U q(conv(q(D LN(x)))) at every sublayer f."""

    placement: str
    bottleneck: int
    scale: float
    dropout: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add bypasses that read what the sublayers read; all else stays frozen."""
        network: Any = backbone.network  # of timm, which has no type for what is read here
        if not backbone.of_kind("patch_embedding") or not hasattr(network, "num_prefix_tokens"):
            raise Unsupported(f"{backbone.family} has no grid of patches that all blocks read")
        for site in backbone.of_kind(*KINDS[self.placement]):
            bypass = ConvBypass(
                site.width,
                self.bottleneck,
                network.patch_embed.grid_size,
                network.num_prefix_tokens,
                self.scale,
                self.dropout,
            )
            backbone.insert_parallel(site, bypass)
        return adapted(backbone, tasks, context_of(tasks))
