"""The arena's step in Triton: four launches over all layers, whatever their number.

Weights and gradients stay where they are and are found through tables of addresses, so that no
launch depends on how many layers there are. One program processes one block of one layer; sums over
a layer are taken in a fixed order, not by atomic additions, so that results are the same bit by bit
from run to run. Gates and hyper-parameters are read on the device: the host waits for nothing, and
a step can be captured in a CUDA graph.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the arguments of a kernel are typed by each launch

import triton
import triton.language as tl

from suite.nn.kernels.arena import BLOCK
from suite.nn.kernels.launch import Launch

STREAM = Launch({"BLOCK": BLOCK}, num_warps=8, num_stages=1)
"""Launch of the kernels that read and write every weight."""
REDUCE = Launch({"WIDTH": 1024}, num_warps=4, num_stages=1)
"""Launch of the sum over the blocks of a layer."""

ONE = Launch({}, num_warps=4, num_stages=1)
"""Launch of the single program that steps all gate scores."""

CHANGE_RATE = tl.constexpr(0)
GATE_SCORE_RATE = tl.constexpr(1)
"""Learning rates; for AdamW divided by 1 - beta1^steps."""
CHANGE_DECAY = tl.constexpr(2)
"""The weight decay; for AdamW times the learning rate."""
PENALTY = tl.constexpr(3)
FIRST = tl.constexpr(4)
SECOND = tl.constexpr(5)
"""SGD's momentum, or AdamW's betas."""
FIRST_REST = tl.constexpr(6)
SECOND_REST = tl.constexpr(7)
"""1 - beta, computed on the host in float64: in float32, 1 - 0.999 has a relative error of 5e-5."""
ROOT = tl.constexpr(8)
"""AdamW's 1 / sqrt(1 - beta2^steps)."""
TINY = tl.constexpr(9)
"""AdamW's epsilon."""
MAXIMAL_NORM = tl.constexpr(10)
THRESHOLD = tl.constexpr(11)
SETTINGS = 12
"""The number of settings above."""


@triton.jit
def _place(layer_of, first_block, numel, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """(layer, offsets within the layer, which of them exist, offsets in the flat buffers)."""
    block = tl.program_id(0)
    layer = tl.load(layer_of + block)
    size = tl.load(numel + layer)
    if ALIGNED:
        size = tl.multiple_of(size, 8)
    inside = (block - tl.load(first_block + layer)) * BLOCK + tl.arange(0, BLOCK)
    # 64 bits: the flat buffers of a large network have more than 2^31 elements. Offsets within one
    # layer fit in 32, which spares registers.
    flat = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return layer, inside, inside < size, flat


@triton.jit
def _at(table, layer, dtype: tl.constexpr):
    """The start of a layer's tensor."""
    return tl.multiple_of(tl.load(table + layer).to(tl.pointer_type(dtype)), 16)


@triton.jit
def _is_open(gate_score, layer, hyper):
    return tl.load(gate_score + layer) >= tl.load(hyper + THRESHOLD)


@triton.jit
def merge_kernel(
    weights, change, gate_score, merged, layer_of, first_block, numel, hyper,
    BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """merged = W0 + 1[s >= threshold] * D, rounded once; a closed layer's change is not read."""
    layer, inside, exists, flat = _place(layer_of, first_block, numel, BLOCK, ALIGNED)
    value = tl.load(_at(weights, layer, tl.float32) + inside, mask=exists, other=0.0)
    # All threads of a program agree: a closed layer saves half of the reading.
    if _is_open(gate_score, layer, hyper):
        value += tl.load(change + flat).to(tl.float32)
    tl.store(merged + flat, value.to(merged.dtype.element_ty))


@triton.jit
def products_kernel(
    gradients, change, products, squares, layer_of, first_block, numel,
    GRADIENT: tl.constexpr, LOCKED: tl.constexpr, BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """<G, D> and |G|^2 of every block from one reading of both."""
    layer, inside, exists, flat = _place(layer_of, first_block, numel, BLOCK, ALIGNED)
    g = tl.load(_at(gradients, layer, GRADIENT) + inside, mask=exists, other=0.0).to(tl.float32)
    tl.store(squares + tl.program_id(0), tl.sum(g * g, 0))
    if not LOCKED:
        d = tl.load(change + flat).to(tl.float32)
        tl.store(products + tl.program_id(0), tl.sum(g * d, 0))


@triton.jit
def reduce_kernel(
    products, squares, gate_score, gate_score_gradient, layer_square, first_block, hyper,
    CLIP: tl.constexpr, LOCKED: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One layer: ds = <G, D> + penalty * sign(s), and its share of the squared norm of all
    gradients, gate * |G|^2 + ds^2."""
    layer = tl.program_id(0)
    start, end = tl.load(first_block + layer), tl.load(first_block + layer + 1)
    product = tl.zeros((WIDTH,), tl.float32)
    square = tl.zeros((WIDTH,), tl.float32)
    for block in range(start, end, WIDTH):
        at = block + tl.arange(0, WIDTH)
        if not LOCKED:
            product += tl.load(products + at, mask=at < end, other=0.0)
        if CLIP:
            square += tl.load(squares + at, mask=at < end, other=0.0)
    ds = 0.0
    if not LOCKED:
        s = tl.load(gate_score + layer)
        sign = tl.where(s > 0, 1.0, tl.where(s < 0, -1.0, 0.0))
        ds = tl.sum(product, 0) + tl.load(hyper + PENALTY) * sign
        tl.store(gate_score_gradient + layer, ds)
    if CLIP:
        own = tl.where(_is_open(gate_score, layer, hyper), tl.sum(square, 0), 0.0)
        tl.store(layer_square + layer, own + ds * ds)


@triton.jit
def _optimize(p, g, m, v, rate, decay, hyper, ADAMW: tl.constexpr):
    """One step of torch's AdamW or of its SGD with momentum: (parameter, moments)."""
    if ADAMW:
        # The forms that torch's fused optimizers compute, so that both agree to rounding.
        m += tl.load(hyper + FIRST_REST) * (g - m)
        v = tl.load(hyper + SECOND) * v + tl.load(hyper + SECOND_REST) * g * g
        root = tl.sqrt(v) * tl.load(hyper + ROOT) + tl.load(hyper + TINY)
        p = p - decay * p - rate * m / root
    else:
        m = tl.load(hyper + FIRST) * m + g + decay * p
        p -= rate * m
    return p, m, v


@triton.jit
def gate_score_kernel(
    gate_score, previous, momentum, variance, gate_score_gradient, layer_square, other_norm,
    coefficient, hyper, layers,
    ADAMW: tl.constexpr, CLIP: tl.constexpr, LOCKED: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """All gate scores in one program: the factor of the clipping, then a step. `previous` keeps the
    gate scores from before the step."""
    at = tl.arange(0, WIDTH)
    exists = at < layers
    factor = 1.0
    if CLIP:
        other = tl.load(other_norm).to(tl.float32)
        square = tl.sum(tl.load(layer_square + at, mask=exists, other=0.0), 0) + other * other
        factor = tl.load(hyper + MAXIMAL_NORM) / (tl.sqrt(square) + 1e-6)
        # `tl.minimum` would replace a NaN by 1; a norm that is not a number must stay visible.
        factor = tl.where(factor > 1.0, 1.0, factor)
        tl.store(coefficient, factor)
    if not LOCKED:
        s = tl.load(gate_score + at, mask=exists, other=0.0)
        g = tl.load(gate_score_gradient + at, mask=exists, other=0.0) * factor
        m = tl.load(momentum + at, mask=exists, other=0.0)
        v = tl.load(variance + at, mask=exists, other=0.0)
        new, m, v = _optimize(s, g, m, v, tl.load(hyper + GATE_SCORE_RATE), 0.0, hyper, ADAMW)
        # The kernels after this one tell by it which gates have moved.
        tl.store(previous + at, s, mask=exists)
        tl.store(gate_score + at, new, mask=exists)
        tl.store(momentum + at, m, mask=exists)
        if ADAMW:
            tl.store(variance + at, v, mask=exists)


@triton.jit
def change_kernel(
    weights, gradients, change, momentum, variance, merged, gate_score, previous, products,
    coefficient, layer_of, first_block, numel, hyper,
    GRADIENT: tl.constexpr, ADAMW: tl.constexpr, CLIP: tl.constexpr, LOCKED: tl.constexpr,
    BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """The step of the changes, and the merged weights that follow from it.

    Under clipping the gate scores have already stepped: the gradient is gated by the `previous`
    ones, the merge by the new ones. Without clipping this kernel runs first: it computes <G, D> as
    well, and merges on the assumption that no gate will move.
    """
    layer, inside, exists, flat = _place(layer_of, first_block, numel, BLOCK, ALIGNED)
    g = tl.load(_at(gradients, layer, GRADIENT) + inside, mask=exists, other=0.0).to(tl.float32)
    d = tl.load(change + flat).to(tl.float32)
    opens = _is_open(gate_score, layer, hyper)
    if CLIP:
        was_open = _is_open(previous, layer, hyper)
        g *= tl.load(coefficient)
    else:
        was_open = opens
        if not LOCKED:
            tl.store(products + tl.program_id(0), tl.sum(g * d, 0))
    # A closed gate's change has gradient zero and yet steps: its moments decay, as in torch.
    g = tl.where(was_open, g, 0.0)
    m = tl.load(momentum + flat)
    v = m
    if ADAMW:
        v = tl.load(variance + flat)
    rate, decay = tl.load(hyper + CHANGE_RATE), tl.load(hyper + CHANGE_DECAY)
    d, m, v = _optimize(d, g, m, v, rate, decay, hyper, ADAMW)
    # Stored before W0 is loaded, which frees registers: in this order nothing spills.
    tl.store(momentum + flat, m)
    tl.store(change + flat, d)
    if ADAMW:
        tl.store(variance + flat, v)
    w = tl.load(_at(weights, layer, tl.float32) + inside, mask=exists, other=0.0)
    tl.store(merged + flat, tl.where(opens, w + d, w).to(merged.dtype.element_ty))


@triton.jit
def flip_kernel(
    weights, change, gate_score, previous, merged, layer_of, first_block, numel, hyper,
    BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Merge the layers whose gate has just moved; the programs of other layers read two numbers."""
    layer = tl.load(layer_of + tl.program_id(0))
    opens = _is_open(gate_score, layer, hyper)
    if opens != _is_open(previous, layer, hyper):
        layer, inside, exists, flat = _place(layer_of, first_block, numel, BLOCK, ALIGNED)
        w = tl.load(_at(weights, layer, tl.float32) + inside, mask=exists, other=0.0)
        d = tl.load(change + flat).to(tl.float32)
        tl.store(merged + flat, tl.where(opens, w + d, w).to(merged.dtype.element_ty))
