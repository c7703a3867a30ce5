"""Bottleneck adapters after the sublayers of a frozen network.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019,
https://arxiv.org/abs/1902.00751; Pfeiffer et al., "AdapterFusion", EACL 2021,
https://arxiv.org/abs/2005.00247, for the placement after the feed-forward sublayer alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from suite.nn.adapter import Adapter, ChannelAdapter, bottleneck_width

KINDS: Mapping[str, tuple[SiteKind, ...]] = {
    "houlsby": ("attention", "feed_forward", "block"),
    "pfeiffer": ("feed_forward",),
}


@dataclass(frozen=True)
class Adapters(Method):
    """y + U gelu(D y) on the output of a sublayer, before its residual."""

    placement: str
    reduction: int
    post_norm: bool

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert adapters and train them with the network's norms and a head."""
        sites = backbone.of_kind(*KINDS[self.placement])
        if not sites:
            raise Unsupported(f"{backbone.family} has no site for the {self.placement} placement")
        backbone.unfreeze(backbone.of_kind("norm"))
        for site in sites:
            form = ChannelAdapter if site.kind == "block" else Adapter
            bottleneck = bottleneck_width(site.width, self.reduction)
            backbone.insert(site, form(site.width, bottleneck, self.post_norm))
        return adapted(backbone, tasks, context_of(tasks))
