"""A linear layer whose weights several tasks change, each behind its gate, for rows of all of them.

W_t = W + 1[s_t >= threshold] * D_t (Wallingford et al., CVPR 2022, arXiv 2203.16708, section 3),
without writing any W_t: tasks whose gate is closed share W, gates are read on the device.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from suite.kernels.grouped import Segments


def gated_linear(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    segments: Segments,
    threshold: float,
    bias: Tensor | None = None,
) -> Tensor:
    """Rows [M, K], those of task t being segment t, times W_t [N, K], plus bias [N] -> [M, N].

    `deltas` are [T, N, K], `scores` [T] in fp32. Gradients pass the gates straight through: s_t
    receives <dW_t, D_t> whether its gate is open or not, D_t receives dW_t where it is open and
    zero where it is closed. On CUDA x, under autocast cast to its type, is of 16 bits or fp32, and
    the score's gradient is taken where dW_t is formed: that of a closed task is never stored.
    """
    if x.is_cuda:
        if torch.is_autocast_enabled("cuda"):
            x = x.to(torch.get_autocast_dtype("cuda"))
        return fused(x, weight, deltas, scores, segments, threshold, bias)
    return reference(x, weight, deltas, scores, segments, threshold, bias)


def reference(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    segments: Segments,
    threshold: float,
    bias: Tensor | None = None,
) -> Tensor:
    """The same, one task after the other."""
    step = (scores >= threshold).to(scores.dtype)
    gates = step + (scores - scores.detach())
    return torch.cat(
        [
            F.linear(rows, weight + gate * delta, bias)
            for rows, gate, delta in zip(x.split(segments.sizes), gates, deltas, strict=True)
        ]
    )


def fused(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    segments: Segments,
    threshold: float,
    bias: Tensor | None,
) -> Tensor:
    """The same through the operators `suite::gated_linear` and `suite::gated_linear_weights`."""
    out = _GatedLinear.apply(
        x.contiguous(), weight, deltas.contiguous(), scores, segments.sizes, threshold
    )
    return out if bias is None else out + bias.to(out.dtype)


class _GatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        deltas: Tensor,
        scores: Tensor,
        sizes: tuple[int, ...],
        threshold: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, deltas, scores)
        ctx.sizes, ctx.threshold = sizes, threshold
        return torch.ops.suite.gated_linear(x, weight, deltas, scores, sizes, threshold, False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, deltas, scores = ctx.saved_tensors
        grad = grad.contiguous()
        dx = d_weight = d_deltas = d_scores = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.suite.gated_linear(
                grad, weight, deltas, scores, ctx.sizes, ctx.threshold, True
            )
        if ctx.needs_input_grad[1]:
            d_weight = (grad.T @ x).to(weight.dtype)
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
            d_deltas, d_scores = torch.ops.suite.gated_linear_weights(
                grad, x, deltas, scores, ctx.sizes, ctx.threshold
            )
        return dx, d_weight, d_deltas, d_scores, None, None


_library = torch.library.Library("suite", "FRAGMENT")
_library.define(
    "gated_linear(Tensor x, Tensor weight, Tensor deltas, Tensor scores, SymInt[] sizes,"
    " float threshold, bool transposed) -> Tensor"
)
_library.define(
    "gated_linear_weights(Tensor grad, Tensor x, Tensor deltas, Tensor scores, SymInt[] sizes,"
    " float threshold) -> (Tensor, Tensor)"
)


@torch.library.impl(_library, "gated_linear", "CUDA")
def _product_cuda(*arguments: Any) -> Tensor:
    from suite.kernels import gated_linear_triton

    return gated_linear_triton.product(*arguments)


@torch.library.impl(_library, "gated_linear_weights", "CUDA")
def _weights_cuda(*arguments: Any) -> tuple[Tensor, Tensor]:
    from suite.kernels import gated_linear_triton

    return gated_linear_triton.weight_gradients(*arguments)


@torch.library.register_fake("suite::gated_linear")
def _product_fake(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    sizes: list[int],
    threshold: float,
    transposed: bool,
) -> Tensor:
    return x.new_empty((len(x), weight.shape[1 if transposed else 0]))


@torch.library.register_fake("suite::gated_linear_weights")
def _weights_fake(
    grad: Tensor, x: Tensor, deltas: Tensor, scores: Tensor, sizes: list[int], threshold: float
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(deltas), torch.empty_like(scores)
