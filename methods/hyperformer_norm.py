"""HyperFormer++ for convolutional networks: one hypernetwork generates the norms of every task.

Our form of Karimi Mahabadi et al., "Parameter-efficient Multi-task Fine-tuning for Transformers via
Shared Hypernetworks", ACL 2021, https://arxiv.org/abs/2106.04489.
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
from suite.nn.generated_norm import GeneratedNorm, NormHyperNetwork


@dataclass(frozen=True)
class HyperFormerNorm(Method):
    """Scale and shift of every batch norm, generated from task and channel-group embeddings."""

    group: int
    task_embedding: int
    hidden: int
    projected: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Put generated changes on the frozen batch norms."""
        context = context_of(tasks)
        sites = backbone.of_kind("norm")
        for site in sites:
            if not isinstance(norm := backbone.module(site), nn.BatchNorm2d):
                raise Unsupported(f"{site.name} is a {type(norm).__name__}, and no batch norm")
        hypernetwork = NormHyperNetwork(
            context, sites, self.group, self.task_embedding, self.hidden, self.projected
        )
        hypernetwork.follow(backbone)
        for site, generated in zip(sites, hypernetwork.outputs(), strict=True):
            backbone.replace(site, GeneratedNorm(backbone.layer(site, nn.BatchNorm2d), generated))
        model = adapted(backbone, tasks, context)
        model.parts["hypernetwork"] = hypernetwork
        return model
