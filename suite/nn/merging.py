"""What networks that were fine-tuned from one first state have changed becomes one change.

Every rule takes task vectors [T, P]: row t is what training on task t changed in P weights.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class FineTunings:
    """The task vectors of several trainings, each from the first state of the same tensors.

    `statistics` are running statistics beside the `parameters`: of those a merge takes the mean.
    Task vectors: Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, arXiv
    2212.04089, section 2.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], statistics: Iterable[Tensor] = ()
    ) -> None:
        self.parameters = list(parameters)
        self.sizes = [parameter.numel() for parameter in self.parameters]
        self._tensors = [*self.parameters, *statistics]
        self._first = _flat(self._tensors)
        self._changes: list[Tensor] = []

    def collect(self) -> None:
        """Note what the last training has changed and go back to the first state."""
        self._changes.append(_flat(self._tensors) - self._first)
        _write(self._first, self._tensors)

    @property
    def vectors(self) -> Tensor:
        """The changes of the parameters, [T, P], in the order of `parameters`."""
        return torch.stack([change[: sum(self.sizes)] for change in self._changes])

    def merge(self, change: Tensor) -> None:
        """Set the parameters to their first state plus `change` [P]."""
        statistics = torch.stack([own[len(change) :] for own in self._changes]).mean(0)
        _write(self._first + torch.cat([change, statistics]), self._tensors)


def ties(vectors: Tensor, keep: float) -> Tensor:
    """TIES: the mean, weight by weight, of the large changes that have the elected sign, [P].

    Trims every row to its share `keep` of largest magnitude, elects each weight's sign by the sum
    of what is left, and takes the mean over the tasks that agree with it. Yadav et al.,
    "TIES-Merging: Resolving Interference When Merging Models", NeurIPS 2023, arXiv 2306.01708,
    algorithm 1.
    """
    weights = vectors.shape[1]
    rank = max(weights - int(weights * keep), 1)
    limits = vectors.abs().kthvalue(rank, dim=1, keepdim=True).values
    trimmed = vectors * (vectors.abs() >= limits)
    signs = trimmed.sum(0).sign()
    # A weight without a sign takes that of the majority of weights.
    signs[signs == 0] = signs.sum().sign()
    kept = trimmed * torch.where(signs > 0, trimmed > 0, trimmed < 0)
    return kept.sum(0) / (kept != 0).sum(0).clamp(min=1)


def elect(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """EMR-merging's unified change [P] and every task's mask [T, P].

    The unified change has the sign of the mean and the largest magnitude among the tasks of that
    sign; a mask is true where the task's change has that sign. Huang et al., "EMR-Merging:
    Tuning-Free High-Performance Model Merging", NeurIPS 2024, arXiv 2405.17461, section 3.
    """
    signs = torch.where(vectors.mean(0) > 0, 1.0, -1.0)
    masks = vectors * signs > 0
    return signs * (vectors.abs() * masks).amax(0), masks


def rescalers(vectors: Tensor, unified: Tensor, masks: Tensor, sizes: Sequence[int]) -> Tensor:
    """EMR-merging's factor [T] that gives a masked unified change the size of the task's own.

    The size is the sum over tensors (of `sizes` weights) of the mean magnitude in each, as in the
    public code; the paper's equation sums over all weights.
    """

    def size(changes: Tensor) -> Tensor:
        return torch.stack([own.abs().mean(1) for own in changes.split(list(sizes), 1)]).sum(0)

    return size(vectors) / size(unified * masks)


def tall_masks(vectors: Tensor, merged: Tensor, factor: float) -> Tensor:
    """TALL-masks [T, P]: where a task's own change is larger than `factor` times what the merged
    change [P] differs from it.

    Wang et al., "Localizing Task Information for Improved Model Merging and Compression", ICML
    2024, arXiv 2405.07813, section 4.
    """
    return vectors.abs() > factor * (merged - vectors).abs()


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@torch.no_grad()
def _write(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
