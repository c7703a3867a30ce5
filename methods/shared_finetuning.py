"""Multi-task fine-tuning: one network, trained on all tasks together, with a head for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of


@dataclass(frozen=True)
class SharedFinetuning(Method):
    """Hard parameter sharing (Caruana, "Multitask Learning", 1997)."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network, norms and batch-norm statistics shared by all tasks."""
        backbone.network.requires_grad_(True)
        return adapted(backbone, tasks, context_of(tasks))
