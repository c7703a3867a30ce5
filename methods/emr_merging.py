"""EMR-merging: one elected change for all tasks; each has a mask of it, one bit a weight, and a
factor.

Huang et al., "EMR-Merging: Tuning-Free High-Performance Model Merging", NeurIPS 2024,
https://arxiv.org/abs/2405.17461.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from suite.method import AdaptedModel, Backbone, Method, Phase, TaskEntry, Validate
from suite.method.merging import masked_changes, masked_model, merging_phases, own_norms
from suite.nn.merging import FineTunings, elect, rescalers
from suite.nn.parametrized import shared_parameters


@dataclass(frozen=True)
class EMRMerging(Method):
    """W_t = W0 + lambda_t M_t (W_merged - W0)."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; batch norms are the task's own."""
        return masked_model(backbone, tasks, scaled=True)

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task from the first state, with its head; then the merge."""
        changes = masked_changes(model)
        tuned = FineTunings(shared_parameters(model.backbone.network))

        def merge(validate: Validate) -> None:
            vectors = tuned.vectors
            unified, masks = elect(vectors)
            scales = rescalers(vectors, unified, masks, tuned.sizes)
            tuned.merge(unified)
            changes.set_masks(dict(zip(model.tasks, masks, strict=True)))
            changes.set_scales(dict(zip(model.tasks, scales, strict=True)))

        return merging_phases(model, tuned, merge)

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """The merged network behind the masks."""
        super().load(model, tensors)
        masked_changes(model).merged = True

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """Parameters of batch norms, which are not merged."""
        return {"own_norms": own_norms(model)}
