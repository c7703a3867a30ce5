"""MTLoRA: low-rank changes, one shared by all tasks and one of each task.

Agiza, Neseem and Reda, "MTLoRA: Low-Rank Adaptation Approach for Efficient Multi-Task Learning",
CVPR 2024, https://arxiv.org/abs/2403.20320.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    PerTask,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.low_rank import LowRank, MultiTaskLinear


@dataclass(frozen=True)
class MTLoRA(Method):
    """W0 + s B A + s_t B_t A_t in every linear layer; norms and patch embedding trained, shared."""

    rank: int
    task_rank: int
    scale: float
    task_scale: float
    task_blocks: str
    dropout: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt all linear layers; those of some blocks have a change of each task's own."""
        context = context_of(tasks)
        sites = backbone.of_kind("linear")
        if not sites:
            raise Unsupported(f"{backbone.family} has no linear layers")
        last = {site.stack: site.layer for site in sites}
        backbone.unfreeze(backbone.of_kind("norm", "patch_embedding"))
        for site in sites:
            layer = backbone.layer(site, nn.Linear)
            shared = LowRank(layer, self.rank, self.scale)
            own = None
            if self.task_blocks == "all" or site.layer == last[site.stack]:
                changes = {
                    t: LowRank(layer, self.task_rank, self.task_scale) for t in context.tasks
                }
                own = PerTask(context, changes)
            backbone.replace(site, MultiTaskLinear(layer, shared, own, self.dropout))
        return adapted(backbone, tasks, context)
