"""Norm parameters from a hypernetwork: HyperFormer++ where layers differ in width and there is no
place for one adapter (see `suite.nn.hypernetwork`)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from suite.backbones.per_task import TaskContext
from suite.backbones.sites import Site
from suite.nn.adapter import narrow_linear
from suite.nn.hypernetwork import Generated, HyperNetwork, projector


class NormChange(NamedTuple):
    """What is added to the scale and to the shift of a norm of `width` channels."""

    scale: Tensor  # [width]
    shift: Tensor  # [width]


class NormHyperNetwork(HyperNetwork[NormChange]):
    """Generates the changes of all norms from the task's embedding and one of each channel group.

    A layer of w channels has ceil(w / group) groups; a single linear map gives scale and shift of
    a whole group, of which a last, smaller group uses the first.
    """

    def __init__(
        self,
        context: TaskContext,
        sites: Sequence[Site],
        group: int,
        task_embedding: int,
        hidden: int,
        projected: int,
    ) -> None:
        super().__init__(context, sites, task_embedding)
        self.group = group
        self.counts = [-(-site.width // group) for site in sites]
        self.groups = nn.Embedding(sum(self.counts), task_embedding)
        self.projector = projector(2 * task_embedding, hidden, projected)
        self.norm = nn.LayerNorm(projected, eps=1e-6)
        self.generator = narrow_linear(projected, 2 * group)

    def forward(self, task: Tensor) -> list[NormChange]:
        """Task embedding [E] -> the changes in the order of the sites."""
        groups = self.groups.weight
        joined = torch.cat([task.expand(len(groups), -1), groups], dim=-1)  # [N, 2E]
        changes = self.generator(self.norm(self.projector(joined)))  # [N, 2 * group]
        scales, shifts = changes.view(-1, 2, self.group).unbind(1)
        return [
            NormChange(scale.flatten()[: site.width], shift.flatten()[: site.width])
            for site, scale, shift in zip(
                self.sites, scales.split(self.counts), shifts.split(self.counts), strict=True
            )
        ]


class GeneratedNorm(nn.Module):
    """A frozen norm whose scale and shift are changed by what is generated for the active task."""

    def __init__(self, norm: nn.BatchNorm2d, source: Generated[NormChange]) -> None:
        super().__init__()
        self.norm = norm
        self.source = source

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        context = self.source.context
        if context.counts is not None:
            return context.task_by_task(self.forward, x)
        change = self.source.weights()
        own = {"weight": self.norm.weight + change.scale, "bias": self.norm.bias + change.shift}
        return functional_call(self.norm, own, (x,))
