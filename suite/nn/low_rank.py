"""Linear layers with a low-rank change that all tasks share and one of each task.

Agiza, Neseem and Reda, "MTLoRA: Low-Rank Adaptation Approach for Efficient Multi-Task Learning",
CVPR 2024, arXiv 2403.20320, section 3.
"""

import math

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask


class LowRank(nn.Module):
    """s B A x, zero at first: A uniform (Kaiming), B zero."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, layer.in_features))
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))
        self.scale = scale
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        return self.scale * nn.functional.linear(nn.functional.linear(x, self.a), self.b)


class MultiTaskLinear(nn.Linear):
    """W0 x + b0 + `shared`(dropout(x)) + `own`(dropout(x)), with the frozen W0 and b0 of `layer`.

    `own` holds a change for every task; without it only the shared one is added.
    """

    def __init__(
        self, layer: nn.Linear, shared: LowRank, own: PerTask | None, dropout: float
    ) -> None:
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.shared = shared
        self.own = own
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        dropped = self.dropout(x)
        y = super().forward(x) + self.shared(dropped)
        return y if self.own is None else y + self.own(dropped)
