"""Prefix tuning: every attention layer attends to a few learned keys and values before its own.

Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021,
https://arxiv.org/abs/2101.00190.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.prompt import Prefix, PrefixEmbedding


@dataclass(frozen=True)
class PrefixTuning(Method):
    """softmax(q [P_k; K]^T) [P_v; V], with P made by a small network while it trains."""

    tokens: int
    hidden: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert prefixes; the layers of a stack share the embedding from which theirs are made."""
        sites = backbone.of_kind("keys")
        if not sites:
            raise Unsupported(f"{backbone.family} has no attention that takes a prefix")
        shared: dict[tuple[str, str], PrefixEmbedding] = {}
        for site in sites:
            group = (site.stack, site.part)
            if group not in shared:
                shared[group] = PrefixEmbedding(self.tokens, backbone.width, self.hidden)
            backbone.insert_prefix(site, Prefix(shared[group], site.width))
        return adapted(backbone, tasks, context_of(tasks))

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """The prefixes, as they are now, and the head."""
        for prefix in _prefixes(model):
            prefix.keep()
        return [name for name in names if ".reparametrised." not in name]

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """Put saved prefixes in the place of what makes them."""
        super().load(model, tensors)
        for prefix in _prefixes(model):
            prefix.constant_serves = True


def _prefixes(model: AdaptedModel) -> list[Prefix]:
    return [module for module in model.modules() if isinstance(module, Prefix)]
