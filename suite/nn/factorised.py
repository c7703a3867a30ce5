"""Changes of all weight matrices of a network from two factors that every layer shares.

FacT: Jie and Deng, "FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer", AAAI
2023, arXiv 2212.03145, section 3.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

Shape = tuple[int, int]
"""Outputs and inputs of a weight matrix, in widths of the network."""


class Factors(nn.Module, ABC):
    """U [r, d] and V [d, r], zero at first; between them every weight matrix has a core.

    A matrix of n d outputs and m d inputs has a core [n r, m r]: U reads each of its m parts, V
    gives each of its n.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.empty(rank, width))
        self.v = nn.Parameter(torch.zeros(width, rank))
        nn.init.kaiming_uniform_(self.u, a=math.sqrt(5))

    @abstractmethod
    def core(self, index: int) -> Tensor:
        """The core [n r, m r] of a matrix by its index."""

    def change(self, x: Tensor, core: Tensor, dropout: nn.Dropout) -> Tensor:
        """[..., m d] -> [..., n d]."""
        rank, width = self.u.shape
        inner = linear(x.unflatten(-1, (-1, width)), self.u).flatten(-2)
        hidden = dropout(linear(inner, core))
        return linear(hidden.unflatten(-1, (-1, rank)), self.v).flatten(-2)


class TensorTrain(Factors):
    """FacT-TT: every matrix has a core of its own."""

    def __init__(self, width: int, rank: int, shapes: Sequence[Shape]) -> None:
        super().__init__(width, rank)
        self.cores = nn.ParameterList(
            torch.empty(outputs * rank, inputs * rank) for outputs, inputs in shapes
        )
        for core in self.cores:
            nn.init.kaiming_uniform_(core, a=math.sqrt(5))

    def core(self, index: int) -> Tensor:
        """The core [n r, m r] of a matrix by its index."""
        return self.cores[index]


class Tucker(Factors):
    """FacT-TK: cores are mixtures P [r, sum of n m] of r common matrices C [r, r, r].

    The r x r mixtures of a larger core interleave, as in the public code.
    """

    def __init__(self, width: int, rank: int, shapes: Sequence[Shape]) -> None:
        super().__init__(width, rank)
        self.sizes = [outputs * inputs for outputs, inputs in shapes]
        self.wide = [inputs > 1 for _, inputs in shapes]
        self.common = nn.Parameter(torch.empty(rank, rank, rank))
        self.mixture = nn.Parameter(torch.empty(rank, sum(self.sizes)))
        nn.init.xavier_uniform_(self.common)
        nn.init.xavier_uniform_(self.mixture)

    def core(self, index: int) -> Tensor:
        """The core [n r, m r] of a matrix by its index; n or m must be 1."""
        start = sum(self.sizes[:index])
        own = self.mixture[:, start : start + self.sizes[index]]
        mixed = (self.common @ own).flatten(1)
        return mixed if self.wide[index] else mixed.T


class FactorTuned(nn.Linear):
    """W0 x + b0 + s V C U x with the frozen `layer`; of fused matrices, each has a core, by its
    index in `factors`."""

    def __init__(
        self,
        layer: nn.Linear,
        factors: Factors,
        indices: Sequence[int],
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        # In a tuple: the factors belong to the model and are no module of every layer.
        self.factors = (factors,)
        self.indices = tuple(indices)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        (factors,) = self.factors
        core = torch.cat([factors.core(index) for index in self.indices])
        return super().forward(x) + self.scale * factors.change(x, core, self.dropout)
