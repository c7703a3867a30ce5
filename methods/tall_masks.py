"""TALL-masks: the sum of what fine-tuning has changed, of which each task has a mask, one bit a
weight.

Wang et al., "Localizing Task Information for Improved Model Merging and Compression", ICML 2024,
https://arxiv.org/abs/2405.07813.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from suite.method import AdaptedModel, Backbone, Method, Phase, TaskEntry, Validate
from suite.method.merging import masked_changes, masked_model, merging_phases, own_norms
from suite.nn.merging import FineTunings, tall_masks
from suite.nn.parametrized import shared_parameters

FACTORS = (0.2, 0.3, 0.4, 0.5, 0.6)
"""The values of lambda that the paper tries."""


@dataclass(frozen=True)
class TallMasks(Method):
    """W_t = W0 + M_t sum_s (W_s - W0)."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; batch norms are the task's own."""
        model = masked_model(backbone, tasks, scaled=False)
        model.measured |= {f"factor@{task}": 0.0 for task in model.tasks}
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task from the first state, with its head; then the merge."""
        changes = masked_changes(model)
        tuned = FineTunings(shared_parameters(model.backbone.network))

        def merge(validate: Validate) -> None:
            vectors = tuned.vectors
            merged = vectors.sum(0)
            tuned.merge(merged)
            scores = dict.fromkeys(model.tasks, -math.inf)
            best: dict[str, Tensor] = {}
            for factor in FACTORS:
                found = tall_masks(vectors, merged, factor)
                masks = dict(zip(model.tasks, found, strict=True))
                changes.set_masks(masks)
                for task, score in validate().items():
                    if score > scores[task]:
                        scores[task], best[task] = score, masks[task]
                        model.measured[f"factor@{task}"] = factor
            changes.set_masks(best)

        return merging_phases(model, tuned, merge)

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """The merged network behind the masks."""
        super().load(model, tensors)
        masked_changes(model).merged = True

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """Parameters of batch norms, which are not merged, and each task's lambda."""
        return {"own_norms": own_norms(model), **model.measured}
