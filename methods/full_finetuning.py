"""Full fine-tuning: every weight of the network is trained and stored again for each task."""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of


@dataclass(frozen=True)
class FullFinetuning(Method):
    """The accuracy to reach and the cost to avoid."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network, batch-norm statistics included, and a new head."""
        backbone.network.requires_grad_(True)
        return adapted(backbone, tasks, context_of(tasks))
