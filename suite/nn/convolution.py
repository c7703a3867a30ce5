"""Adapters of 3x3 convolutions, which start as in the public code of their papers: at random."""

from torch import Tensor, nn


def pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    """A convolution's sizes along height and width, of which torch declares any number."""
    height, width = sizes
    return height, width


def padding_of(conv: nn.Conv2d) -> str | tuple[int, int]:
    """A convolution's padding, by its name or along height and width."""
    return conv.padding if isinstance(conv.padding, str) else pair(conv.padding)


def pointwise(conv: nn.Conv2d) -> nn.Conv2d:
    """A 1x1 convolution of the inputs, outputs and stride of `conv`, N(0, 2 / outputs) at first.

    Rebuffi, Bilen and Vedaldi, "Efficient Parametrization of Multi-Domain Deep Neural Networks",
    CVPR 2018, arXiv 1803.10082, section 3.
    """
    layer = nn.Conv2d(conv.in_channels, conv.out_channels, 1, pair(conv.stride), bias=False)
    return _started(layer)


class SeriesAdapter(nn.Module):
    """y + A BN(y), A a 1x1 convolution, N(0, 2 / outputs) at first.

    Rebuffi, Bilen and Vedaldi, "Learning Multiple Visual Domains with Residual Adapters", NIPS
    2017, arXiv 1705.08045, section 3.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.conv = _started(nn.Conv2d(width, width, 1, bias=False))

    def forward(self, y: Tensor) -> Tensor:
        """[B, width, H, W] -> [B, width, H, W]."""
        return y + self.conv(self.norm(y))


class ConvAdapter(nn.Module):
    """scale * P relu(G x): a grouped convolution G to `hidden` channels, one group for each, and a
    1x1 convolution P, both He-normal by their outputs at first, with a learned scale for every
    channel.

    G has kernel, stride and padding of the `conv` it stands beside. Chen et al., "Conv-Adapter:
    Exploring Parameter Efficient Transfer Learning for ConvNets", arXiv 2208.07463, section 3.
    """

    def __init__(self, conv: nn.Conv2d, hidden: int) -> None:
        super().__init__()
        self.down = _started(
            nn.Conv2d(
                conv.in_channels,
                hidden,
                pair(conv.kernel_size),
                pair(conv.stride),
                padding_of(conv),
                groups=hidden,
            )
        )
        self.up = _started(nn.Conv2d(hidden, conv.out_channels, 1))
        self.scale = nn.Parameter(self.up.weight.new_ones(conv.out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        return self.scale * self.up(self.down(x).relu())


def _started(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights N(0, 2 / fan-out) and a bias, if it has one, of zero."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
