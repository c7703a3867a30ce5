"""Hypernetworks for the sublayers of one kind, shared by all layers of a stack.

The configuration `hyperformer.json` of the public code of Karimi Mahabadi et al., "Parameter-
efficient Multi-task Fine-tuning for Transformers via Shared Hypernetworks", ACL 2021, arXiv
2106.04489.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from suite.backbones.per_task import TaskContext
from suite.backbones.sites import Site
from suite.nn.hypernetwork import (
    POSITIONS,
    AdapterGenerator,
    HyperNetwork,
    one_width,
    projector,
)
from suite.nn.kernels.adapter import AdapterWeights


class StackPair(nn.Module):
    """Two hypernetworks for a stack, one for each position; an embedding tells them the layer."""

    def __init__(
        self, layers: int, width: int, bottleneck: int, embedding: int, hidden: int, projected: int
    ) -> None:
        super().__init__()
        self.layers = nn.Embedding(layers, embedding)
        self.projector = projector(2 * embedding, hidden, projected)
        self.norm = nn.LayerNorm(projected, eps=1e-6)
        self.generator = AdapterGenerator(projected, len(POSITIONS), width, bottleneck)

    def forward(self, task: Tensor) -> list[AdapterWeights]:
        """Task embedding [E] -> adapters; that of (layer, position) at 2 * layer + position."""
        layers = self.layers.weight
        joined = torch.cat([task.expand_as(layers), layers], dim=-1)  # [L, 2E]
        return self.generator(self.norm(self.projector(joined)))


class PairedHyperNetworks(HyperNetwork[AdapterWeights]):
    """A pair of hypernetworks for every stack."""

    def __init__(
        self,
        context: TaskContext,
        sites: Sequence[Site],
        bottleneck: int,
        task_embedding: int,
        hidden: int,
        projected: int,
    ) -> None:
        super().__init__(context, sites, task_embedding)
        width = one_width(sites)
        layers = {site.stack: site.layer + 1 for site in sites}
        self.stacks = nn.ModuleDict(
            {
                stack: StackPair(count, width, bottleneck, task_embedding, hidden, projected)
                for stack, count in layers.items()
            }
        )

    def forward(self, task: Tensor) -> list[AdapterWeights]:
        """Task embedding [task_embedding] -> the adapters of all sites."""
        generated = {stack: pair(task) for stack, pair in self.stacks.items()}
        return [
            generated[site.stack][len(POSITIONS) * site.layer + POSITIONS[site.kind]]
            for site in self.sites
        ]
