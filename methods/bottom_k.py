"""Hard parameter sharing with layers of the task's own at the bottom or at the top.

Zhang, Liu and Guan, "Rethinking Hard-Parameter Sharing in Multi-Domain Learning", ICME 2022,
https://arxiv.org/abs/2107.11359.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of


@dataclass(frozen=True)
class OwnBlocks(Method):
    """One network trained on all tasks; each has its own copy of the first or last blocks."""

    end: str
    share: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train everything; convolutions, linear layers and norms of the chosen blocks per task."""
        context = context_of(tasks)
        backbone.network.requires_grad_(True)
        own = max(int(backbone.blocks * self.share), 1)
        first, last = (-1, own - 1) if self.end == "bottom" else (backbone.blocks - own, None)
        sites = backbone.of_kind("conv", "linear", "patch_embedding", "norm")
        backbone.specialise(
            [s for s in sites if s.depth >= first and (last is None or s.depth <= last)], context
        )
        return adapted(backbone, tasks, context)
