"""Low-rank changes that start from the principal singular vectors of the frozen weights.

PiSSA: Meng, Wang and Zhang, "PiSSA: Principal Singular Values and Singular Vectors Adaptation of
Large Language Models", NeurIPS 2024, arXiv 2404.02948, section 3.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class PrincipalLinear(nn.Linear):
    """(W0 - B0 A0) x + B A x + b0 with the frozen `layer`: B0 A0 is the part of W0 of rank r that
    is nearest to it, and B A starts from it.

    The paper stores W0 - B0 A0 in the place of W0. Here W0 stays as it is, and A0 [r, in_features]
    and B0 [out_features, r] follow from it.
    """

    first_a: Tensor
    first_b: Tensor

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        left, values, right = torch.linalg.svd(layer.weight.detach().double(), full_matrices=False)
        left, right = left[:, :rank], right[:rank]
        # A singular vector is only defined up to its sign: let its largest entry be positive.
        signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
        roots = values[:rank].sqrt()
        a = (roots[:, None] * signs.T * right).to(layer.weight.dtype)
        b = (roots * signs * left).to(layer.weight.dtype)
        self.a = nn.Parameter(a)
        self.b = nn.Parameter(b)
        self.register_buffer("first_a", a.clone(), persistent=False)
        self.register_buffer("first_b", b.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        change = linear(linear(x, self.a), self.b) - linear(linear(x, self.first_a), self.first_b)
        return super().forward(x) + change
