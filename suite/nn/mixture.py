"""Weights that mix task vectors by coefficients that train.

AdaMerging: Yang et al., "AdaMerging: Adaptive Model Merging for Multi-Task Learning", ICLR 2024,
arXiv 2310.02575.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from suite.nn.parametrized import parametrize, unparametrize


class Mixture:
    """W = W0 + sum_t clamp(c[i, t], 0, 1) v_t in every parameter i of a network, while it is shown:
    layer-wise AdaMerging (section 3.2).

    The coefficients c [parameters, T] are what receives gradients.
    """

    def __init__(self, network: nn.Module, coefficients: Tensor) -> None:
        self.network = network
        self.coefficients = coefficients
        self._parts: tuple[Tensor, ...] = ()

    def show(self, vectors: Tensor, sizes: Sequence[int]) -> None:
        """Let the network, whose parameters are W0 and of `sizes` weights, compute with the mixture
        of task vectors [T, P]."""
        self._parts = vectors.split(list(sizes), dim=1)
        parametrize(self.network, (_Mixed(self, row) for row in range(len(sizes))))

    @torch.no_grad()
    def hide(self) -> Tensor:
        """Let the network compute with its parameters again; the mixed change, [P]."""
        unparametrize(self.network)
        change = torch.cat([self.change(row) for row in range(len(self._parts))])
        self._parts = ()
        return change

    def change(self, row: int) -> Tensor:
        """The mixed change [n] of one parameter."""
        factors = self.coefficients[row].clamp(0, 1)
        return (factors[:, None] * self._parts[row]).sum(0)


class _Mixed(nn.Module):
    def __init__(self, mixture: Mixture, row: int) -> None:
        super().__init__()
        self.mixture = mixture
        self.row = row

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.mixture.change(self.row).view_as(weight)


def entropy(logits: Tensor) -> Tensor:
    """The mean entropy of the predictions [B, classes], a scalar."""
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()
