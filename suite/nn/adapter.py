"""Bottleneck adapters (Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019,
arXiv 1902.00751) and parallel ones (He et al., "Towards a Unified View of Parameter-Efficient
Transfer Learning", ICLR 2022, arXiv 2110.04366)."""

import math

from torch import Tensor, nn

from suite.nn.kernels.adapter import AdapterWeights, adapter


def bottleneck_width(width: int, reduction: int) -> int:
    """Hidden units of an adapter: `width // reduction`, at least 4, so that the bottleneck of
    narrow convolutional stages does not vanish."""
    return max(width // reduction, 4)


def narrow_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights N(0, 0.01^2) and bias 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class Adapter(nn.Module):
    """y + LN(U gelu(D y + b_D) + b_U), near the identity at first; LN only with `post_norm`.

    With `post_norm` its affine form starts at gamma = 1, as in the baseline of Karimi Mahabadi et
    al. 2021, and the adapter does not start near the identity.
    """

    def __init__(self, width: int, bottleneck: int, post_norm: bool) -> None:
        super().__init__()
        self.down = narrow_linear(width, bottleneck)
        self.up = narrow_linear(bottleneck, width)
        self.norm = nn.LayerNorm(width) if post_norm else None

    def forward(self, y: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        up, down, norm = self.up, self.down, self.norm
        weights = AdapterWeights(up.weight, up.bias, down.weight, down.bias)
        if norm is None:
            return adapter(y, weights)
        return adapter(y, weights._replace(gamma=norm.weight, beta=norm.bias), "post", norm.eps)


class ChannelAdapter(Adapter):
    """The same on the channels of feature maps: a bottleneck of 1x1 convolutions."""

    def forward(self, y: Tensor) -> Tensor:
        """[B, width, H, W] -> [B, width, H, W]."""
        return super().forward(y.movedim(1, -1)).movedim(-1, 1)


class ParallelAdapter(nn.Module):
    """s U relu(D x + b_D) + s b_U, to be added to a sublayer that reads the same x.

    Initialised like LoRA: D uniform (Kaiming), U and biases zero, so that its first output is zero.
    """

    def __init__(self, width: int, bottleneck: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(bottleneck, width)
        self.scale = scale
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return self.scale * self.up(self.dropout(self.down(x).relu()))
