"""TIES-merging: of what fine-tuning has changed, the large part on which the tasks' signs agree.

Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", NeurIPS 2023,
https://arxiv.org/abs/2306.01708.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    Phase,
    TaskEntry,
    Validate,
    adapted,
    context_of,
)
from suite.method.merging import OwnScores, best_scale, fine_tunings, merging_phases
from suite.nn.merging import ties

LARGEST = 3.0
"""The largest factor that the paper tries."""


@dataclass(frozen=True)
class Ties(Method):
    """W = W0 + lambda * disjoint mean of the trimmed task vectors that have the elected sign."""

    keep: float
    candidates: int
    head_share: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; nothing is added to it."""
        backbone.network.requires_grad_(True)
        model = adapted(backbone, tasks, context_of(tasks))
        model.measured["scale"] = 0.0
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task from the first state; the merge; each head again on the merged network."""
        tuned, own = fine_tunings(model), OwnScores()

        def merge(validate: Validate) -> None:
            scales = np.linspace(0, LARGEST, self.candidates + 1)[1:]
            merged = ties(tuned.vectors, self.keep)
            model.measured["scale"] = best_scale(tuned, merged, scales, validate, own)

        return merging_phases(model, tuned, merge, self.head_share, own)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """What the merged task vector was multiplied by."""
        return {"scale": model.measured["scale"]}
