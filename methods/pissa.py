"""PiSSA: a low-rank change that starts from the principal singular vectors.

Meng, Wang and Zhang, "PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large
Language Models", NeurIPS 2024, https://arxiv.org/abs/2404.02948.
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
from suite.method.targets import targeted
from suite.nn.principal import PrincipalLinear


@dataclass(frozen=True)
class PiSSA(Method):
    """W = (W0 - B0 A0) + B A; B A starts as B0 A0, the best approximation of W0 of this rank."""

    targets: str
    rank: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt queries and values, or all linear layers."""
        sites = targeted(backbone, self.targets, "linear")
        for site in sites:
            layer = backbone.layer(site, nn.Linear)
            smallest = min(layer.in_features, layer.out_features)
            if self.rank > smallest:
                raise Unsupported(f"{site.name} has a rank of {smallest}, less than {self.rank}")
            backbone.replace(site, PrincipalLinear(layer, self.rank))
        return adapted(backbone, tasks, context_of(tasks))
