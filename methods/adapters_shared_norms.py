"""Adapters of each task, trained together, with norms that all tasks share.

The baseline "Adapters" with a dagger of Karimi Mahabadi et al., "Parameter-efficient Multi-task
Fine-tuning for Transformers via Shared Hypernetworks", ACL 2021,
https://arxiv.org/abs/2106.04489, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    PerTask,
    TaskContext,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.adapter import Adapter, bottleneck_width
from suite.nn.kernels.adapter import AdapterWeights, adapter


@dataclass(frozen=True)
class AdaptersSharedNorms(Method):
    """y + LN(U_t gelu(D_t y)): U_t, D_t are the task's own, LN and the network's norms shared."""

    reduction: int
    norm_start: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert adapters after self-attention and feed-forward sublayers; norms are trained."""
        sites = backbone.of_kind("attention", "feed_forward")
        if not sites:
            raise Unsupported("there are no sublayers whose adapters could share a layer norm")
        context = context_of(tasks)
        backbone.unfreeze(backbone.of_kind("norm"))
        for site in sites:
            bottleneck = bottleneck_width(site.width, self.reduction)
            backbone.insert(
                site, SharedNormAdapter(context, site.width, bottleneck, self.norm_start)
            )
        return adapted(backbone, tasks, context)


class SharedNormAdapter(nn.Module):
    """A bottleneck for every task, and one layer norm on what they give."""

    def __init__(
        self, context: TaskContext, width: int, bottleneck: int, norm_start: float
    ) -> None:
        super().__init__()
        self.adapters = PerTask(
            context, {task: Adapter(width, bottleneck, post_norm=False) for task in context.tasks}
        )
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, norm_start)

    def forward(self, y: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        if self.adapters.splits_batch:
            return self.adapters.context.task_by_task(self.forward, y)
        own = self.adapters.current
        assert isinstance(own, Adapter)
        weights = AdapterWeights(
            own.up.weight,
            own.up.bias,
            own.down.weight,
            own.down.bias,
            self.norm.weight,
            self.norm.bias,
        )
        return adapter(y, weights, "post", self.norm.eps)
