"""Triton kernels of the gated linear layer over rows of several tasks.

One launch multiplies the rows of all tasks, forward or backward. One more forms the weight
gradients of all tasks tile by tile and, while a tile is in registers, the score's gradient
<dW_t, D_t>; the tile itself is stored only where the gate is open.
"""

# ruff: noqa: ANN001, ANN201 - the arguments of a kernel are typed by each launch

import torch
import triton
import triton.language as tl
from torch import Tensor

from suite.nn.kernels.grouped import Segments
from suite.nn.kernels.launch import Launch, dot_precision

PRODUCT = Launch({"BM": 16, "BN": 64, "BK": 64}, num_warps=4, num_stages=3)
WEIGHTS = Launch({"BM": 64, "BN": 128, "BK": 64}, num_warps=8, num_stages=3)
SCORES = Launch({"BLOCK": 256}, num_warps=4, num_stages=1)


@triton.jit
def product_kernel(
    X, W, D, S, OUT, ROW, END, TASK, threshold, inner, outer, stride_i, stride_j, stride_t,
    PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """OUT[m, j] = sum_i X[m, i] W_t(i, j): one tile of rows of one task, BN columns.

    `stride_i` and `stride_j` say how W and D are read: forward j walks the rows of W [N, K],
    backward the columns.
    """
    tile = tl.program_id(0)
    end = tl.load(END + tile)
    task = tl.load(TASK + tile)
    m = tl.load(ROW + tile) + tl.arange(0, BM)
    j = tl.program_id(1) * BN + tl.arange(0, BN)
    i = tl.arange(0, BK)
    rows = m[:, None] < end
    x = X + m[:, None].to(tl.int64) * inner + i[None, :]
    place = i[:, None].to(tl.int64) * stride_i + j[None, :].to(tl.int64) * stride_j
    w = W + place
    d = D + task.to(tl.int64) * stride_t + place
    total = tl.zeros((BM, BN), tl.float32)
    if tl.load(S + task) >= threshold:
        for start in range(0, inner, BK):
            left = rows & (i[None, :] < inner - start)
            inside = (i[:, None] < inner - start) & (j[None, :] < outer)
            a = tl.load(x, mask=left, other=0.0)
            b = tl.load(w, mask=inside, other=0.0).to(tl.float32)
            b += tl.load(d, mask=inside, other=0.0).to(tl.float32)
            total = tl.dot(a, b.to(a.dtype), total, input_precision=PRECISION)
            x += BK
            w += BK * stride_i
            d += BK * stride_i
    else:
        for start in range(0, inner, BK):
            left = rows & (i[None, :] < inner - start)
            inside = (i[:, None] < inner - start) & (j[None, :] < outer)
            a = tl.load(x, mask=left, other=0.0)
            b = tl.load(w, mask=inside, other=0.0)
            total = tl.dot(a, b.to(a.dtype), total, input_precision=PRECISION)
            x += BK
            w += BK * stride_i
    out = OUT + m[:, None].to(tl.int64) * outer + j[None, :]
    tl.store(out, total.to(OUT.dtype.element_ty), mask=rows & (j[None, :] < outer))


@triton.jit
def weights_kernel(
    GRAD, X, D, S, BOUNDS, OUT, PARTS, threshold, N, K,
    PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """A tile [BN, BK] of dW_t = GRAD_t^T X_t, to OUT[t] if the gate is open, and the tile's share
    of <dW_t, D_t>, to PARTS[t, tile]."""
    task = tl.program_id(2)
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    k = tl.program_id(1) * BK + tl.arange(0, BK)
    end = tl.load(BOUNDS + task + 1)
    total = tl.zeros((BN, BK), tl.float32)
    for start in range(tl.load(BOUNDS + task), end, BM):
        m = (start + tl.arange(0, BM))[:, None]
        g = GRAD + m.to(tl.int64) * N + n[None, :]
        x = X + m.to(tl.int64) * K + k[None, :]
        g = tl.load(g, mask=(m < end) & (n[None, :] < N), other=0.0)
        x = tl.load(x, mask=(m < end) & (k[None, :] < K), other=0.0)
        total = tl.dot(tl.trans(g), x, total, input_precision=PRECISION)
    inside = (n[:, None] < N) & (k[None, :] < K)
    place = task.to(tl.int64) * N * K + n[:, None].to(tl.int64) * K + k[None, :]
    d = tl.load(D + place, mask=inside, other=0.0).to(tl.float32)
    tile = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    parts = PARTS + task * tl.num_programs(0) * tl.num_programs(1)
    tl.store(parts + tile, tl.sum(total * d))
    if tl.load(S + task) >= threshold:
        tl.store(OUT + place, total.to(OUT.dtype.element_ty), mask=inside)


@triton.jit
def scores_kernel(PARTS, OUT, tiles, BLOCK: tl.constexpr):
    """OUT[t] = the sum of PARTS[t], in a fixed order."""
    task = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, tiles, BLOCK):
        tile = start + tl.arange(0, BLOCK)
        total += tl.load(PARTS + task * tiles + tile, mask=tile < tiles, other=0.0)
    tl.store(OUT + task, tl.sum(total, 0))


def product(
    x: Tensor,
    weight: Tensor,
    deltas: Tensor,
    scores: Tensor,
    sizes: list[int],
    threshold: float,
    transposed: bool,
) -> Tensor:
    """Rows [M, K] -> [M, N], or with `transposed` rows [M, N] -> [M, K]."""
    inner, outer = weight.shape if transposed else weight.shape[::-1]
    stride_j, stride_i = weight.stride() if not transposed else weight.stride()[::-1]
    out = x.new_empty((len(x), outer))
    constants = PRODUCT.constants
    row, end, task = Segments(tuple(sizes)).tiles(constants["BM"], x.device)
    product_kernel[(len(row), triton.cdiv(outer, constants["BN"]))](
        x, weight, deltas, scores, out, row, end, task, threshold, inner, outer, stride_i, stride_j,
        deltas.stride(0), PRECISION=dot_precision(x.dtype), **PRODUCT.arguments,
    )  # fmt: skip
    return out


def weight_gradients(
    grad: Tensor, x: Tensor, deltas: Tensor, scores: Tensor, sizes: list[int], threshold: float
) -> tuple[Tensor, Tensor]:
    """(gradients of the deltas [T, N, K], of the scores [T])."""
    tasks, n, k = deltas.shape
    grid = triton.cdiv(n, WEIGHTS.constants["BN"]), triton.cdiv(k, WEIGHTS.constants["BK"]), tasks
    out = torch.zeros_like(deltas)
    parts = torch.empty((tasks, grid[0] * grid[1]), dtype=torch.float32, device=x.device)
    weights_kernel[grid](
        grad, x, deltas, scores, Segments(tuple(sizes)).bounds(x.device), out, parts, threshold,
        n, k, PRECISION=dot_precision(x.dtype), **WEIGHTS.arguments,
    )  # fmt: skip
    total = torch.empty_like(scores)
    scores_kernel[(tasks,)](parts, total, parts.shape[1], **SCORES.arguments)
    return out, total
