"""Convolutional bypasses of a vision transformer's sublayers.

Jie and Deng, "Convolutional Bypasses Are Better Vision Transformer Adapters", arXiv 2207.07039,
section 3.
"""

import torch
from torch import Tensor, nn


class ConvBypass(nn.Module):
    """s U q(conv(q(D x))), q(x) = x sigmoid(1.702 x): a 3x3 convolution over the grid of patches
    between a down- and an up-projection.

    Each of the `prefix` tokens before the patches is convolved as an image of one pixel. Only U is
    zero at first; the convolution starts as the identity.
    """

    def __init__(
        self,
        width: int,
        bottleneck: int,
        grid: tuple[int, int],
        prefix: int,
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.conv = nn.Conv2d(bottleneck, bottleneck, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(bottleneck, width)
        self.grid = grid
        self.prefix = prefix
        self.scale = scale
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.dirac_(self.conv.weight)
        for zero in (self.down.bias, self.conv.bias, self.up.weight, self.up.bias):
            assert zero is not None
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, prefix + patches, width] -> the same shape."""
        hidden = _quick_gelu(self.down(x))
        first, patches = hidden.tensor_split([self.prefix], dim=1)
        mixed = self._convolved(patches, self.grid)
        if self.prefix:
            alone = self._convolved(first.flatten(0, 1).unsqueeze(1), (1, 1))
            mixed = torch.cat([alone.view_as(first), mixed], dim=1)
        return self.scale * self.up(self.dropout(_quick_gelu(mixed)))

    def _convolved(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        images = tokens.transpose(1, 2).unflatten(-1, grid)  # [B, bottleneck, H, W]
        return self.conv(images).flatten(2).transpose(1, 2)


def _quick_gelu(x: Tensor) -> Tensor:
    return x * (1.702 * x).sigmoid()
