"""Linear layers from sums of Kronecker products, and adapters made of them.

Zhang et al., "Beyond Fully-Connected Layers with Quaternions", ICLR 2021, arXiv 2102.08597; Karimi
Mahabadi et al., "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers", NeurIPS 2021, arXiv
2106.04647, section 3.
"""

import torch
from torch import Tensor, nn


def shared_rules(count: int) -> nn.Parameter:
    """The matrices A_i [n, n, n] that all layers of a model share, N(0, 1e-4^2)."""
    return nn.Parameter(torch.empty(count, count, count).normal_(std=1e-4))


class HypercomplexLinear(nn.Module):
    """W = sum_i A_i (x) (u_i v_i^T), with rules A_i that other layers share; bias from zero."""

    def __init__(self, inputs: int, outputs: int, rules: nn.Parameter) -> None:
        super().__init__()
        count = len(rules)
        if inputs % count or outputs % count:
            raise ValueError(f"{count} rules need widths they divide, not {inputs} and {outputs}")
        self.rules = rules
        self.u = nn.Parameter(torch.empty(count, inputs // count))
        self.v = nn.Parameter(torch.empty(count, outputs // count))
        self.bias = nn.Parameter(torch.zeros(outputs))
        for factor in (self.u, self.v):
            # Each rank-one factor as the matrix [size, 1] it is, with the gain of the public code.
            for vector in factor.data.unsqueeze(-1):
                nn.init.xavier_uniform_(vector, gain=2**0.5)

    def weight(self) -> Tensor:
        """The whole matrix [inputs, outputs]."""
        product = torch.einsum("nab,nc,nd->acbd", self.rules, self.u, self.v)
        return product.reshape(self.u.numel(), self.v.numel())

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return x @ self.weight() + self.bias


class HypercomplexAdapter(nn.Module):
    """y + U gelu(D y), D and U hypercomplex; the tiny rules start it near the identity."""

    def __init__(self, width: int, bottleneck: int, rules: nn.Parameter) -> None:
        super().__init__()
        self.down = HypercomplexLinear(width, bottleneck, rules)
        self.activation = nn.GELU(approximate="tanh")
        self.up = HypercomplexLinear(bottleneck, width, rules)

    def forward(self, y: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return y + self.up(self.activation(self.down(y)))
