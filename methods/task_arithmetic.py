"""Task arithmetic: what fine-tuning has changed for each task is summed, scaled and added.

Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, https://arxiv.org/abs/2212.04089.
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


@dataclass(frozen=True)
class TaskArithmetic(Method):
    """W = W0 + alpha sum_t (W_t - W0)."""

    candidates: int
    head_share: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; nothing is added to it."""
        backbone.network.requires_grad_(True)
        model = adapted(backbone, tasks, context_of(tasks))
        model.measured["alpha"] = 0.0
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task from the first state; the merge; each head again on the merged network."""
        tuned, own = fine_tunings(model), OwnScores()

        def merge(validate: Validate) -> None:
            scales = np.linspace(0, 1, self.candidates + 1)[1:]
            total = tuned.vectors.sum(0)
            model.measured["alpha"] = best_scale(tuned, total, scales, validate, own)

        return merging_phases(model, tuned, merge, self.head_share, own)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """What the sum of task vectors was multiplied by."""
        return {"alpha": model.measured["alpha"]}
