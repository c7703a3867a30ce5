"""HyperFormer as its public configuration runs it: hypernetworks shared by all layers of a stack.

Karimi Mahabadi et al., "Parameter-efficient Multi-task Fine-tuning for Transformers via Shared
Hypernetworks", ACL 2021, https://arxiv.org/abs/2106.04489.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of
from suite.nn.adapter import bottleneck_width
from suite.nn.hypernetwork import GeneratedAdapter
from suite.nn.hypernetwork_pairs import PairedHyperNetworks


@dataclass(frozen=True)
class HyperFormerUnique(Method):
    """Adapters generated from embeddings of task and layer; norms trained and shared."""

    reduction: int
    task_embedding: int
    hidden: int
    projected: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert generated adapters after self-attention and feed-forward sublayers."""
        context = context_of(tasks)
        sites = backbone.of_kind("attention", "feed_forward")
        backbone.unfreeze(backbone.of_kind("norm"))
        hypernetwork = PairedHyperNetworks(
            context,
            sites,
            bottleneck_width(backbone.width, self.reduction),
            self.task_embedding,
            self.hidden,
            self.projected,
        )
        hypernetwork.follow(backbone)
        for site, generated in zip(sites, hypernetwork.outputs(), strict=True):
            backbone.insert(site, GeneratedAdapter(generated))
        model = adapted(backbone, tasks, context)
        model.parts["hypernetwork"] = hypernetwork
        return model
