"""Triton kernels of the bottleneck adapter: one launch forward, three backward.

The hidden width is processed in chunks, so that no width is padded to a power of two. The output of
the upper matrix is never stored: its statistics and its gradient recompute it from the bottleneck,
which is cheap because the bottleneck is narrow. Weight gradients are partial sums over blocks of
rows, added up in a fixed order: no atomics, the same bits every time.
"""

# ruff: noqa: ANN001, ANN201 - the arguments of a kernel are typed by each launch

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from suite.nn.kernels.launch import Launch, dot_precision

REDUCE = Launch({"BLOCK": 512}, num_warps=4, num_stages=2)

P = ParamSpec("P")
R = TypeVar("R")
PROGRAMS = 528
"""Programs of the weight gradient: four for each multiprocessor of an H100."""

FEW_ROWS = 8448
"""Below this there are fewer tiles of 64 rows than an H100 has multiprocessors."""


@dataclass(frozen=True)
class Launches:
    """How the three kernels over rows are launched."""

    forward: Launch
    backward_input: Launch
    backward_weights: Launch


def launches(rows: int, padded: int, architecture: int) -> Launches:
    """The fastest of 66 tiles measured on an H100 at a width of 768 that spill no register.

    `padded` is the bottleneck as the kernels pad it, `architecture` 80, 90 or 100. Before Hopper
    operands of products pass through registers, where wider tiles do not fit.
    """
    narrow = Launch({"BM": 16, "BC": 128}, num_warps=8, num_stages=1)
    if architecture < 90:
        weights = Launch({"BM": 16, "BC": 32}, num_warps=8, num_stages=1)
        small = Launch({"BM": 16, "BC": 64}, num_warps=4, num_stages=1)
        return Launches(narrow if rows < FEW_ROWS else small, small, weights)
    tile = {"BM": 64 if architecture == 90 and padded <= 32 else 32, "BC": 64}
    weights = Launch(tile, num_warps=4, num_stages=3)
    if rows < FEW_ROWS:
        return Launches(narrow, narrow, weights)
    return Launches(
        Launch({"BM": 64, "BC": 128}, num_warps=8, num_stages=1),
        Launch({"BM": 64, "BC": 64}, num_warps=4, num_stages=1),
        weights,
    )


@triton.jit
def gelu(z):
    """(gelu(z), its derivative), in the form with tanh, which is written by means of exp."""
    cube = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    tanh = 1.0 - 2.0 / (tl.exp(2.0 * cube) + 1.0)
    slope = 0.7978845608028654 * (1.0 + 0.134145 * z * z)
    return 0.5 * z * (1.0 + tanh), 0.5 * (1.0 + tanh) + 0.5 * z * (1.0 - tanh * tanh) * slope


@triton.jit
def vector(pointer, column, H: tl.constexpr):
    """Entries `column` of a vector [H] as fp32, zero past its end."""
    return tl.load(pointer + column, mask=column < H, other=0.0).to(tl.float32)


@triton.jit
def up_tile(UP, column, unit, H: tl.constexpr, R: tl.constexpr):
    """U^T [units, columns] of U [H, R]."""
    mask = (unit[:, None] < R) & (column[None, :] < H)
    return tl.load(UP + column[None, :] * R + unit[:, None], mask=mask, other=0.0)


@triton.jit
def down_tile(DOWN, column, unit, H: tl.constexpr, R: tl.constexpr):
    """D [units, columns] of D [R, H]."""
    mask = (unit[:, None] < R) & (column[None, :] < H)
    return tl.load(DOWN + unit[:, None] * H + column[None, :], mask=mask, other=0.0)


@triton.jit
def forward_kernel(
    Y, OUT, UP, UP_BIAS, DOWN, DOWN_BIAS, GAMMA, BETA, Z, MEAN, RSTD, M, epsilon,
    H: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, PRE: tl.constexpr, POST: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """BM rows of OUT, of the bottleneck Z before its activation, and of the norm's statistics."""
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    unit = tl.arange(0, RP)
    chunk = tl.arange(0, BC)
    inside = row[:, None] < M
    start = row[:, None].to(tl.int64) * H
    compute = Z.dtype.element_ty
    # Mean and variance take a pass each: the mean of squares less the squared mean would lose its
    # digits in float32 wherever the mean is large beside the deviation.
    mean = tl.zeros((BM,), tl.float32)
    square = tl.zeros((BM,), tl.float32)
    if PRE:
        for c in range(0, H, BC):
            mask = inside & (c + chunk[None, :] < H)
            y = tl.load(Y + start + c + chunk[None, :], mask=mask, other=0.0)
            mean += tl.sum(y.to(tl.float32), 1)
        mean = mean / H
        for c in range(0, H, BC):
            mask = inside & (c + chunk[None, :] < H)
            y = tl.load(Y + start + c + chunk[None, :], mask=mask, other=0.0).to(tl.float32)
            y = tl.where(mask, y - mean[:, None], 0.0)
            square += tl.sum(y * y, 1)
    z = tl.zeros((BM, RP), tl.float32)
    rstd = 1.0 / tl.sqrt(square / H + epsilon)
    for c in range(0, H, BC):
        column = c + chunk
        y = tl.load(Y + start + column[None, :], mask=inside & (column[None, :] < H), other=0.0)
        if PRE:
            scale = vector(GAMMA, column, H)[None, :] * rstd[:, None]
            y = (y.to(tl.float32) - mean[:, None]) * scale + vector(BETA, column, H)[None, :]
        down = down_tile(DOWN, column, unit, H, R)
        z = tl.dot(y.to(compute), tl.trans(down.to(compute)), z, input_precision=PRECISION)
    z += vector(DOWN_BIAS, unit, R)[None, :]
    # Rounded before the activation: backward reads it rounded, and must see the same numbers.
    z = z.to(compute)
    where = row[:, None].to(tl.int64) * R + unit[None, :]
    tl.store(Z + where, z, mask=inside & (unit[None, :] < R))
    a, _ = gelu(z.to(tl.float32))
    a = a.to(compute)
    if POST:
        for c in range(0, H, BC):
            column = c + chunk
            up = up_tile(UP, column, unit, H, R).to(compute)
            u = tl.dot(a, up, input_precision=PRECISION) + vector(UP_BIAS, column, H)[None, :]
            mean += tl.sum(u, 1)
        mean = mean / H
        for c in range(0, H, BC):
            column = c + chunk
            up = up_tile(UP, column, unit, H, R).to(compute)
            u = tl.dot(a, up, input_precision=PRECISION) + vector(UP_BIAS, column, H)[None, :]
            u = tl.where(column[None, :] < H, u - mean[:, None], 0.0)
            square += tl.sum(u * u, 1)
        rstd = 1.0 / tl.sqrt(square / H + epsilon)
    for c in range(0, H, BC):
        column = c + chunk
        up = up_tile(UP, column, unit, H, R).to(compute)
        u = tl.dot(a, up, input_precision=PRECISION) + vector(UP_BIAS, column, H)[None, :]
        if POST:
            scale = vector(GAMMA, column, H)[None, :] * rstd[:, None]
            u = (u - mean[:, None]) * scale + vector(BETA, column, H)[None, :]
        mask = inside & (column[None, :] < H)
        y = tl.load(Y + start + column[None, :], mask=mask, other=0.0).to(tl.float32)
        tl.store(OUT + start + column[None, :], (y + u).to(OUT.dtype.element_ty), mask=mask)
    if PRE or POST:
        tl.store(MEAN + row, mean, mask=row < M)
        tl.store(RSTD + row, rstd, mask=row < M)


@triton.jit
def backward_input_kernel(
    GRAD, Y, OUT, UP, UP_BIAS, DOWN, GAMMA, Z, DZ, MEAN, RSTD, C1, C2, M,
    H: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, PRE: tl.constexpr, POST: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """BM rows of the gradients of the input (OUT) and of Z (DZ).

    C1, C2 are the row means in the gradient of a layer norm: with w = gamma * grad and x^ the
    normalised row, dx = rstd (w - mean(w) - x^ mean(w x^)).
    """
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    unit = tl.arange(0, RP)
    chunk = tl.arange(0, BC)
    inside = row[:, None] < M
    start = row[:, None].to(tl.int64) * H
    where = row[:, None].to(tl.int64) * R + unit[None, :]
    whole = inside & (unit[None, :] < R)
    compute = Z.dtype.element_ty
    a, slope = gelu(tl.load(Z + where, mask=whole, other=0.0).to(tl.float32))
    a = a.to(compute)
    c1 = tl.zeros((BM,), tl.float32)
    c2 = tl.zeros((BM,), tl.float32)
    if PRE or POST:
        mean = tl.load(MEAN + row, mask=row < M, other=0.0)
        rstd = tl.load(RSTD + row, mask=row < M, other=0.0)
    if POST:
        for c in range(0, H, BC):
            column = c + chunk
            up = up_tile(UP, column, unit, H, R).to(compute)
            u = tl.dot(a, up, input_precision=PRECISION) + vector(UP_BIAS, column, H)[None, :]
            mask = inside & (column[None, :] < H)
            g = tl.load(GRAD + start + column[None, :], mask=mask, other=0.0).to(tl.float32)
            g = g * vector(GAMMA, column, H)[None, :]
            c1 += tl.sum((u - mean[:, None]) * rstd[:, None] * g, 1)
            c2 += tl.sum(g, 1)
        c1 = c1 / H
        c2 = c2 / H
        tl.store(C1 + row, c1, mask=row < M)
        tl.store(C2 + row, c2, mask=row < M)
    da = tl.zeros((BM, RP), tl.float32)
    for c in range(0, H, BC):
        column = c + chunk
        mask = inside & (column[None, :] < H)
        g = tl.load(GRAD + start + column[None, :], mask=mask, other=0.0)
        up = up_tile(UP, column, unit, H, R).to(compute)
        if POST:
            u = tl.dot(a, up, input_precision=PRECISION) + vector(UP_BIAS, column, H)[None, :]
            w = g.to(tl.float32) * vector(GAMMA, column, H)[None, :]
            normal = (u - mean[:, None]) * rstd[:, None]
            g = tl.where(mask, (w - c2[:, None] - normal * c1[:, None]) * rstd[:, None], 0.0)
        da = tl.dot(g.to(compute), tl.trans(up), da, input_precision=PRECISION)
    dz = (da * slope).to(compute)
    tl.store(DZ + where, dz, mask=whole)
    if PRE:
        for c in range(0, H, BC):
            column = c + chunk
            mask = inside & (column[None, :] < H)
            down = down_tile(DOWN, column, unit, H, R).to(compute)
            w = tl.dot(dz, down, input_precision=PRECISION) * vector(GAMMA, column, H)[None, :]
            y = tl.load(Y + start + column[None, :], mask=mask, other=0.0).to(tl.float32)
            c1 += tl.sum(tl.where(mask, (y - mean[:, None]) * rstd[:, None], 0.0) * w, 1)
            c2 += tl.sum(w, 1)
        c1 = c1 / H
        c2 = c2 / H
    for c in range(0, H, BC):
        column = c + chunk
        mask = inside & (column[None, :] < H)
        down = down_tile(DOWN, column, unit, H, R).to(compute)
        dx = tl.dot(dz, down, input_precision=PRECISION)
        if PRE:
            y = tl.load(Y + start + column[None, :], mask=mask, other=0.0).to(tl.float32)
            normal = (y - mean[:, None]) * rstd[:, None]
            w = dx * vector(GAMMA, column, H)[None, :]
            dx = (w - c2[:, None] - normal * c1[:, None]) * rstd[:, None]
        g = tl.load(GRAD + start + column[None, :], mask=mask, other=0.0).to(tl.float32)
        tl.store(OUT + start + column[None, :], (g + dx).to(OUT.dtype.element_ty), mask=mask)


@triton.jit
def backward_weights_kernel(
    GRAD, Y, UP, UP_BIAS, DOWN, GAMMA, BETA, Z, DZ, MEAN, RSTD, C1, C2, PARTS, M, rows, size,
    H: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, PRE: tl.constexpr, POST: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """BC columns of every weight gradient over one split of `rows` rows, to PARTS[split].

    A part holds [up, up_bias, down, down_bias, gamma, beta] one after the other.
    """
    block, split = tl.program_id(0), tl.program_id(1)
    unit = tl.arange(0, RP)
    column = block * BC + tl.arange(0, BC)
    compute = Z.dtype.element_ty
    gamma = tl.zeros((BC,), tl.float32)
    beta = tl.zeros((BC,), tl.float32)
    if PRE or POST:
        gamma = vector(GAMMA, column, H)
        beta = vector(BETA, column, H)
    up = up_tile(UP, column, unit, H, R).to(compute)
    down = down_tile(DOWN, column, unit, H, R).to(compute)
    up_bias = vector(UP_BIAS, column, H)
    d_up = tl.zeros((BC, RP), tl.float32)
    d_down = tl.zeros((BC, RP), tl.float32)
    d_up_bias = tl.zeros((BC,), tl.float32)
    d_down_bias = tl.zeros((RP,), tl.float32)
    d_gamma = tl.zeros((BC,), tl.float32)
    d_beta = tl.zeros((BC,), tl.float32)
    first = split * rows
    last = tl.minimum(first + rows, M)
    for m in range(first, last, BM):
        row = m + tl.arange(0, BM)
        mask = (row[:, None] < last) & (column[None, :] < H)
        here = row[:, None].to(tl.int64) * H + column[None, :]
        where = row[:, None].to(tl.int64) * R + unit[None, :]
        whole = (row[:, None] < last) & (unit[None, :] < R)
        g = tl.load(GRAD + here, mask=mask, other=0.0).to(tl.float32)
        y = tl.load(Y + here, mask=mask, other=0.0)
        dz = tl.load(DZ + where, mask=whole, other=0.0)
        a, _ = gelu(tl.load(Z + where, mask=whole, other=0.0).to(tl.float32))
        a = a.to(compute)
        d_down_bias += tl.sum(dz.to(tl.float32), 0)
        if PRE or POST:
            mean = tl.load(MEAN + row, mask=row < last, other=0.0)
            rstd = tl.load(RSTD + row, mask=row < last, other=0.0)
        if POST:
            u = tl.dot(a, up, input_precision=PRECISION) + up_bias[None, :]
            normal = tl.where(mask, (u - mean[:, None]) * rstd[:, None], 0.0)
            d_gamma += tl.sum(g * normal, 0)
            d_beta += tl.sum(g, 0)
            c1 = tl.load(C1 + row, mask=row < last, other=0.0)
            c2 = tl.load(C2 + row, mask=row < last, other=0.0)
            g = g * gamma[None, :] - c2[:, None] - normal * c1[:, None]
            g = tl.where(mask, g * rstd[:, None], 0.0)
        if PRE:
            normal = (y.to(tl.float32) - mean[:, None]) * rstd[:, None]
            normal = tl.where(mask, normal, 0.0)
            d_h = tl.dot(dz, down, input_precision=PRECISION)
            d_gamma += tl.sum(d_h * normal, 0)
            d_beta += tl.sum(d_h, 0)
            y = tl.where(mask, normal * gamma[None, :] + beta[None, :], 0.0)
        d_up_bias += tl.sum(g, 0)
        d_up = tl.dot(tl.trans(g.to(compute)), a, d_up, input_precision=PRECISION)
        d_down = tl.dot(tl.trans(y.to(compute)), dz, d_down, input_precision=PRECISION)
    # Every split has a part of its own: atomic additions to one would change order from run to run.
    part = PARTS + split.to(tl.int64) * size
    matrix = (column[:, None] < H) & (unit[None, :] < R)
    tl.store(part + column[:, None] * R + unit[None, :], d_up, mask=matrix)
    part += H * R
    tl.store(part + column, d_up_bias, mask=column < H)
    part += H
    tl.store(part + unit[None, :] * H + column[:, None], d_down, mask=matrix)
    part += H * R
    # It depends on no column: all blocks have the same one, and the first stores it.
    tl.store(part + unit, d_down_bias, mask=(unit < R) & (block == 0))
    part += R
    if PRE or POST:
        tl.store(part + column, d_gamma, mask=column < H)
        tl.store(part + H + column, d_beta, mask=column < H)


@triton.jit
def reduce_kernel(PARTS, OUT, splits, size, BLOCK: tl.constexpr):
    """OUT[i] = sum over splits of PARTS[split, i]."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    part = PARTS + i
    for _ in range(splits):
        total += tl.load(part, mask=i < size, other=0.0)
        part += size
    tl.store(OUT + i, total.to(OUT.dtype.element_ty), mask=i < size)


@dataclass(frozen=True)
class Shape:
    """Constants that the kernels share."""

    width: int
    bottleneck: int
    norm: str
    dtype: torch.dtype

    @property
    def padded(self) -> int:
        """The bottleneck as the kernels pad it."""
        return max(16, triton.next_power_of_2(self.bottleneck))

    def launches(self, y: Tensor) -> Launches:
        """For rows y [M, d] and the device they are on."""
        architecture = 90
        if y.is_cuda:
            major, minor = torch.cuda.get_device_capability(y.device)
            architecture = 10 * major + minor
        return launches(len(y), self.padded, architecture)

    @property
    def constants(self) -> dict[str, object]:
        """As keyword arguments of a launch."""
        return {
            "H": self.width,
            "R": self.bottleneck,
            "RP": self.padded,
            "PRE": self.norm == "pre",
            "POST": self.norm == "post",
            "PRECISION": dot_precision(self.dtype),
        }


def _where_tensors_are(function: Callable[P, R]) -> Callable[P, R]:
    """The same on the device of its first argument: Triton launches on the current one."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.cuda.device_of(args[0]):  # none for the CPU tensors of an interpreter
            return function(*args, **kwargs)

    return call


@_where_tensors_are
def forward(
    y: Tensor, weights: list[Tensor], norm: str, epsilon: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(output [M, d], Z [M, b] before its activation, row mean [M], reciprocal deviation [M])."""
    up, up_bias, down, down_bias, *affine = weights
    gamma, beta = affine or (None, None)
    rows, width = y.shape
    bottleneck = len(down)
    shape = Shape(width, bottleneck, norm, dtype)
    out = torch.empty_like(y)
    z = y.new_empty((rows, bottleneck), dtype=dtype)
    mean, rstd = (y.new_empty(rows if affine else 0, dtype=torch.float32) for _ in range(2))
    launch = shape.launches(y).forward
    forward_kernel[(triton.cdiv(rows, launch.constants["BM"]),)](
        y, out, up, up_bias, down, down_bias, gamma, beta, z, mean, rstd, rows, epsilon,
        **shape.constants, **launch.arguments,
    )  # fmt: skip
    return out, z, mean, rstd


@_where_tensors_are
def backward(
    grad: Tensor,
    y: Tensor,
    weights: list[Tensor],
    z: Tensor,
    mean: Tensor,
    rstd: Tensor,
    norm: str,
) -> tuple[Tensor, Tensor]:
    """(gradient of y [M, d], gradients of the weights one after the other)."""
    up, up_bias, down, _, *affine = weights
    gamma, beta = affine or (None, None)
    rows, width = y.shape
    shape = Shape(width, len(down), norm, z.dtype)
    out, dz = torch.empty_like(y), torch.empty_like(z)
    c1, c2 = torch.empty_like(mean), torch.empty_like(mean)
    chosen = shape.launches(y)
    launch = chosen.backward_input
    backward_input_kernel[(triton.cdiv(rows, launch.constants["BM"]),)](
        grad, y, out, up, up_bias, down, gamma, z, dz, mean, rstd, c1, c2, rows,
        **shape.constants, **launch.arguments,
    )  # fmt: skip
    launch = chosen.backward_weights
    blocks = triton.cdiv(width, launch.constants["BC"])
    tile = launch.constants["BM"]
    splits = min(triton.cdiv(PROGRAMS, blocks), triton.cdiv(rows, tile))
    rows_each = triton.cdiv(triton.cdiv(rows, splits), tile) * tile
    size = sum(weight.numel() for weight in weights)
    parts = torch.empty((splits, size), dtype=torch.float32, device=y.device)
    backward_weights_kernel[(blocks, splits)](
        grad, y, up, up_bias, down, gamma, beta, z, dz, mean, rstd, c1, c2, parts, rows, rows_each,
        size, **shape.constants, **launch.arguments,
    )  # fmt: skip
    flat = torch.empty(size, dtype=up.dtype, device=y.device)
    reduce_kernel[(triton.cdiv(size, REDUCE.constants["BLOCK"]),)](
        parts, flat, splits, size, **REDUCE.arguments
    )
    return out, flat
