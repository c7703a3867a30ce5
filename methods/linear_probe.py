"""Linear probe: only an output layer is trained, on the features of the frozen network."""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of


@dataclass(frozen=True)
class LinearProbe(Method):
    """What the backbone already knows (Alain and Bengio, arXiv 1610.01644)."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add a head; a backbone with an output layer of its own (T5) trains a copy of that."""
        context = context_of(tasks)
        backbone.specialise(backbone.of_kind("head"), context)
        return adapted(backbone, tasks, context)
