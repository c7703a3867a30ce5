"""Biases for layers that have none."""

import torch
from torch import Tensor, nn


class AddedBias(nn.Module):
    """y + b with b = 0 at first, after a layer without a place for a bias (T5's norms)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, y: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return y + self.bias
