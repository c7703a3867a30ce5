"""Compacter: adapters whose matrices are sums of Kronecker products with shared rules.

Karimi Mahabadi, Henderson and Ruder, "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers",
NeurIPS 2021, https://arxiv.org/abs/2106.04647.
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
from suite.nn.adapter import bottleneck_width
from suite.nn.hypercomplex import HypercomplexAdapter, shared_rules

KINDS: Mapping[str, tuple[SiteKind, ...]] = {
    "compacter": ("attention", "feed_forward"),
    "compacter_pp": ("feed_forward",),
}


@dataclass(frozen=True)
class Compacter(Method):
    """Rank-one hypercomplex adapters; the rules A are shared by all adapters of the network."""

    placement: str
    reduction: int
    rules: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert the adapters and train them with the network's norms and a head."""
        sites = backbone.of_kind(*KINDS[self.placement])
        if not sites:
            raise Unsupported(f"{backbone.family} has no attention or feed-forward sublayers")
        bottleneck = bottleneck_width(backbone.width, self.reduction)
        if backbone.width % self.rules or bottleneck % self.rules:
            raise Unsupported(
                f"{self.rules} rules must divide the width {backbone.width} "
                f"and the bottleneck {bottleneck}"
            )
        backbone.unfreeze(backbone.of_kind("norm"))
        rules = shared_rules(self.rules)
        for site in sites:
            backbone.insert(site, HypercomplexAdapter(site.width, bottleneck, rules))
        return adapted(backbone, tasks, context_of(tasks))
