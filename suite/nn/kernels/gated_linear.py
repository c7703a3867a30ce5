"""A linear layer whose weights several tasks change, each behind its gate, for rows of all of them.

W_t = W + 1[s_t >= threshold] * D_t (Wallingford et al., CVPR 2022, arXiv 2203.16708, section 3).
Gates are read on the device. On CUDA there are two ways to multiply: to write every W_t and leave
the rest to one grouped product, or, for few rows, a kernel that adds D_t to W while it reads both,
where tasks whose gate is closed share W. Which is faster from how many rows on is measured, not
believed: see `break_even`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from suite.nn.kernels.grouped import Segments, grouped_linear, has_grouped_product


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


def merged_linear(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    segments: Segments,
    threshold: float,
    transposed: bool = False,
) -> Tensor:
    """Rows [M, K] times W_t [N, K], or with `transposed` rows [M, N] times W_t^T, by writing all
    W_t and one grouped product; no gradients."""
    is_open = (scores >= threshold)[:, None, None]
    merged = torch.where(is_open, weight + deltas, weight).to(x.dtype)
    return grouped_linear(x, merged.transpose(1, 2) if transposed else merged, segments)


@cache
def break_even(device: str) -> int:
    """Rows of a task up to which a GPU of this name has been measured to be faster without merged
    weights; 0 for one that has not been measured (`break_even.json`, see docs/kernels.md)."""
    table = json.loads(Path(__file__).with_name("break_even.json").read_text())
    return table.get(device, 0)


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
def _product_cuda(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    sizes: list[int],
    threshold: float,
    transposed: bool,
) -> Tensor:
    many = len(x) > len(sizes) * break_even(torch.cuda.get_device_name(x.device))
    if many and has_grouped_product(x, weight):
        segments = Segments(tuple(sizes))
        return merged_linear(x, weight, deltas, scores, segments, threshold, transposed)
    from suite.nn.kernels import gated_linear_triton

    return gated_linear_triton.product(x, weight, deltas, scores, sizes, threshold, transposed)


@torch.library.impl(_library, "gated_linear_weights", "CUDA")
def _weights_cuda(*arguments: Any) -> tuple[Tensor, Tensor]:
    from suite.nn.kernels import gated_linear_triton

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
