"""DiSparse: one network for all tasks, of which only weights are kept that some task votes for.

Sun et al., "DiSparse: Disentangled Sparsification for Multitask Model Compression", CVPR 2022,
https://arxiv.org/abs/2206.04662, the variant for pretrained networks.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from suite.method import (
    AdaptedModel,
    Backbone,
    Batch,
    Method,
    ParameterSet,
    Phase,
    TaskEntry,
    Validate,
    adapted,
    context_of,
)
from suite.nn.sparse import SparseWeights, most_important

VALUES = "parts.sparse.values"
"""The name in the file of what is kept."""


@dataclass(frozen=True)
class DiSparse(Method):
    """A weight is zero unless it is among the share `keep` of largest importance for some task."""

    keep: float
    dense_share: float
    batches: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; what may become zero are weight matrices and kernels."""
        backbone.network.requires_grad_(True)
        sites = backbone.of_kind("conv", "linear", "patch_embedding")
        sparse = SparseWeights([backbone.module(site) for site in sites])
        model = adapted(backbone, tasks, context_of(tasks))
        model.parts["sparse"] = sparse
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """All tasks train the dense network, each votes, and all train what is kept."""
        sparse, tasks = _sparse(model), tuple(model.tasks)
        seen = {task: deque[Batch](maxlen=self.batches) for task in tasks}
        held: list[RemovableHandle] = []

        def remember(batch: Batch) -> None:
            seen[batch.task].append(batch)

        def vote(validate: Validate) -> None:
            model.eval()
            masks = [
                most_important(map(model.loss, own), sparse.weights, self.keep)
                for own in seen.values()
                if own
            ]
            sparse.prune(torch.stack(masks).any(0))
            seen.clear()

        def release(validate: Validate) -> None:
            for handle in held:
                handle.remove()

        return (
            Phase(tasks, self.dense_share, observe=remember, finish=vote),
            Phase(
                tasks,
                1 - self.dense_share,
                prepare=lambda: held.extend(sparse.hold()),
                finish=release,
            ),
        )

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """The kept weights and the bits that say which they are, in place of the layers' own."""
        sparse = _sparse(model)
        sparse.pack()
        own = ParameterSet(sparse.weights)
        dense = {name for name, parameter in model.named_parameters() if parameter in own}
        return [name for name in names if name not in dense]

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """The kept weights in their places, zeros in the others."""
        others = {name: tensor for name, tensor in tensors.items() if name != VALUES}
        super().load(model, others)
        _sparse(model).unpack(tensors[VALUES])

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """How many weights might be zero, and how many are kept."""
        sparse = _sparse(model)
        return {"sparse_weights": sparse.size, "kept_weights": int(sparse.mask.sum())}


def _sparse(model: AdaptedModel) -> SparseWeights:
    sparse = model.parts["sparse"]
    assert isinstance(sparse, SparseWeights)
    return sparse
