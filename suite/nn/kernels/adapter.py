"""A bottleneck adapter as one operation.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, arXiv 1902.00751; with
the layer norm after it of Karimi Mahabadi et al., ACL 2021, arXiv 2106.04489.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Norm = Literal["none", "pre", "post"]

WIDEST = 64
"""Bottleneck up to which the weights of a tile stay in registers; wider ones are products worth a
library call each."""


class AdapterWeights(NamedTuple):
    """What one adapter of width d and bottleneck b computes with, its own or generated."""

    up: Tensor  # [d, b]
    up_bias: Tensor  # [d]
    down: Tensor  # [b, d]
    down_bias: Tensor  # [b]
    gamma: Tensor | None = None  # [d]; the norm's, if there is one
    beta: Tensor | None = None  # [d]


def adapter(
    y: Tensor, weights: AdapterWeights, norm: Norm = "none", epsilon: float = 1e-5
) -> Tensor:
    """y + U gelu(D y + b_D) + b_U, [..., d] -> [..., d]; `norm` puts a layer norm before D or
    after U.

    On CUDA, up to a bottleneck of `WIDEST`, four Triton launches for forward and backward together;
    the result then has the type of y, also under autocast.
    """
    if y.is_cuda and len(weights.down) <= WIDEST:
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else y.dtype
        return fused(y, weights, norm, epsilon, dtype)
    return reference(y, weights, norm, epsilon)


def reference(
    y: Tensor, weights: AdapterWeights, norm: Norm = "none", epsilon: float = 1e-5
) -> Tensor:
    """The same, one operation after the other."""
    inner = _layer_norm(y, weights, epsilon) if norm == "pre" else y
    hidden = F.gelu(F.linear(inner, weights.down, weights.down_bias), approximate="tanh")
    change = F.linear(hidden, weights.up, weights.up_bias)
    return y + (_layer_norm(change, weights, epsilon) if norm == "post" else change)


def fused(
    y: Tensor, weights: AdapterWeights, norm: Norm, epsilon: float, dtype: torch.dtype
) -> Tensor:
    """The same through the operators `suite::adapter_*`, with products of operands of `dtype`."""
    present = [weight.contiguous() for weight in weights if weight is not None]
    rows = y.reshape(-1, y.shape[-1]).contiguous()
    return _Adapter.apply(rows, norm, epsilon, dtype, *present).view(y.shape)


class _Adapter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, norm: Norm, epsilon: float, dtype: torch.dtype, *weights: Tensor
    ) -> Tensor:
        out, *saved = torch.ops.suite.adapter_forward(y, list(weights), norm, epsilon, dtype)
        ctx.save_for_backward(y, *saved, *weights)
        ctx.norm = norm
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, z, mean, rstd, *weights = ctx.saved_tensors
        dy, flat = torch.ops.suite.adapter_backward(
            grad.contiguous(), y, weights, z, mean, rstd, ctx.norm
        )
        parts = flat.split([weight.numel() for weight in weights])
        own = (part.view(weight.shape) for part, weight in zip(parts, weights, strict=True))
        return dy, None, None, None, *own


_library = torch.library.Library("suite", "FRAGMENT")
_library.define(
    "adapter_forward(Tensor y, Tensor[] weights, str norm, float epsilon, ScalarType dtype)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
_library.define(
    "adapter_backward(Tensor grad, Tensor y, Tensor[] weights, Tensor z, Tensor mean, Tensor rstd,"
    " str norm) -> (Tensor, Tensor)"
)


@torch.library.impl(_library, "adapter_forward", "CUDA")
def _forward_cuda(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from suite.nn.kernels import adapter_triton

    return adapter_triton.forward(*arguments)


@torch.library.impl(_library, "adapter_backward", "CUDA")
def _backward_cuda(*arguments: Any) -> tuple[Tensor, Tensor]:
    from suite.nn.kernels import adapter_triton

    return adapter_triton.backward(*arguments)


@torch.library.register_fake("suite::adapter_forward")
def _forward_fake(
    y: Tensor, weights: list[Tensor], norm: Norm, epsilon: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = len(y) if norm != "none" else 0
    mean, rstd = (y.new_empty(rows, dtype=torch.float32) for _ in range(2))
    return torch.empty_like(y), y.new_empty((len(y), len(weights[2])), dtype=dtype), mean, rstd


@torch.library.register_fake("suite::adapter_backward")
def _backward_fake(
    grad: Tensor,
    y: Tensor,
    weights: list[Tensor],
    z: Tensor,
    mean: Tensor,
    rstd: Tensor,
    norm: Norm,
) -> tuple[Tensor, Tensor]:
    size = sum(weight.numel() for weight in weights)
    return torch.empty_like(y), weights[0].new_empty(size)


def _layer_norm(x: Tensor, weights: AdapterWeights, epsilon: float) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), weights.gamma, weights.beta, epsilon)
