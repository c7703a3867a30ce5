"""Weight matrices gated in a grid of blocks by the state of the example.

HyperGrid: Tay et al., "HyperGrid Transformers: Towards A Single Model for Multiple Tasks", ICLR
2021, arXiv 2007.05891, section 3: the form with local rows and global columns.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from suite.backbones.of_pass import OfPass
from suite.backbones.parallel_insert import SublayerInput
from suite.errors import Unsupported


class State(Protocol):
    """The source of the states that a gate depends on."""

    def state(self) -> Tensor:
        """The states of the examples in this pass [B, d]."""
        ...


class SublayerStart(SublayerInput):
    """The state of the first token as it enters a sublayer, for one layer of that sublayer."""

    def state(self) -> Tensor:
        """The state [B, d]; raises RuntimeError if the entry was not called."""
        return self.take()[:, 0]


class EncodedStart(OfPass):
    """The state of the first token as it leaves an encoder, kept for the decoder's layers.

    A forward hook of the encoder. Text generation runs the encoder once and then the decoder token
    by token, so that the state stays until the next text. A copy starts empty: the state belongs to
    a pass, not to the network.
    """

    def __call__(self, encoder: nn.Module, args: object, output: tuple[Tensor, ...]) -> None:
        """Keep the first token's state [B, d] of an output whose first item is [B, L, d]."""
        self.value = output[0][:, 0]

    def __deepcopy__(self, memo: object) -> "EncodedStart":
        return EncodedStart()

    def state(self) -> Tensor:
        """The state [B, d]; raises RuntimeError if no encoder has run."""
        if self.value is None:
            raise RuntimeError("a decoder layer was reached, but not the encoder")
        return self.value


class GridGated(nn.Linear):
    """(W * G) h + b with G_ij = r_i c_j on a grid of rows x columns blocks of W.

    c = 2 sigmoid(g) of a learned vector g, r = 2 sigmoid(L s) of the example's state s. Both are
    one at first, so that the layer starts with its old output. W [outputs, inputs] and its bias
    stay the layer's own; r acts on the inputs and c on the outputs.
    """

    def __init__(
        self, layer: nn.Linear, source: State, state_width: int, rows: int, columns: int
    ) -> None:
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        if layer.in_features % rows or layer.out_features % columns:
            raise Unsupported(
                f"a grid of {rows} x {columns} does not divide a matrix of {layer.in_features} "
                f"inputs and {layer.out_features} outputs"
            )
        self.weight, self.bias = layer.weight, layer.bias
        self.source = source
        self.local = nn.Parameter(torch.zeros(rows, state_width))
        self.shared = nn.Parameter(torch.zeros(columns))

    def forward(self, h: Tensor) -> Tensor:
        """[B, L, inputs] -> [B, L, outputs], gated by the states [B, state_width]."""
        rows = 2 * torch.sigmoid(self.source.state() @ self.local.T)
        columns = 2 * torch.sigmoid(self.shared)
        y = nn.functional.linear(_scale_blocks(h, rows.unsqueeze(1)), self.weight)
        y = _scale_blocks(y, columns)
        return y if self.bias is None else y + self.bias


def _scale_blocks(x: Tensor, factors: Tensor) -> Tensor:
    """Scale equal blocks of the last dimension of `x`, one for each of the last of `factors`."""
    blocks = x.unflatten(-1, (factors.shape[-1], -1))
    return (blocks * factors.unsqueeze(-1)).flatten(-2)
