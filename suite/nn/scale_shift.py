"""Scales and shifts of what a frozen layer gives.

Lian et al., "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning", NeurIPS
2022, arXiv 2210.08823, section 3.2.
"""

import torch
from torch import Tensor, nn

from suite.backbones.layers import channels_first


class ScaleShift(nn.Module):
    """g * f(x) + b for every feature or channel of a layer f: g starts at N(1, 0.02^2), b at
    N(0, 0.02^2); without `shift` there is no b."""

    def __init__(self, layer: nn.Module, width: int, shift: bool) -> None:
        super().__init__()
        self.layer = layer
        self.scale = nn.Parameter(torch.empty(width).normal_(1, 0.02))
        self.shift = nn.Parameter(torch.empty(width).normal_(0, 0.02)) if shift else None
        self.channels = isinstance(layer, nn.Conv2d) or (
            not isinstance(layer, nn.Linear) and channels_first(layer, width)
        )

    @property
    def weight(self) -> Tensor:
        """The layer's weight: T5 looks at its type before it calls a layer."""
        return self.layer.get_parameter("weight")

    def forward(self, x: Tensor) -> Tensor:
        """The shape that the layer gives: [..., width], of convolutions [B, width, H, W]."""
        y = self.layer(x) * self._placed(self.scale)
        return y if self.shift is None else y + self._placed(self.shift)

    def _placed(self, values: Tensor) -> Tensor:
        return values[:, None, None] if self.channels else values
