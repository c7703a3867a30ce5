"""The strongest full fine-tuning: AdamW on fp32 masters that writes the network's bf16 weights, in
one launch over all layers. 28 bytes of traffic a weight, the least there can be."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from suite.nn.kernels.arena import BETAS, BLOCK, EPSILON, Arena
from suite.nn.kernels.launch import Launch

STREAM = Launch({"BLOCK": BLOCK}, num_warps=8, num_stages=1)


@triton.jit
def adamw_kernel(
    gradients, master, mean, square, weight, layer_of, first_block, numel, steps, rate, decay,
    B1: tl.constexpr, B2: tl.constexpr, EPSILON: tl.constexpr, GRADIENT: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One block of one layer; a layer's gradient is found through a table of addresses."""
    block = tl.program_id(0)
    layer = tl.load(layer_of + block)
    at = (block - tl.load(first_block + layer)) * BLOCK + tl.arange(0, BLOCK)
    flat = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    g = tl.multiple_of(tl.load(gradients + layer).to(tl.pointer_type(GRADIENT)), 16)
    size = tl.multiple_of(tl.load(numel + layer), 8)
    g = tl.load(g + at, mask=at < size, other=0.0).to(tl.float32)
    m = tl.load(mean + flat)
    m += (1.0 - B1) * (g - m)
    v = B2 * tl.load(square + flat) + (1.0 - B2) * g * g
    step = tl.load(steps)
    root = tl.sqrt(v / (1.0 - tl.exp2(step * tl.log2(B2)))) + EPSILON
    p = tl.load(master + flat)
    p = p * (1.0 - rate * decay) - rate / (1.0 - tl.exp2(step * tl.log2(B1))) * m / root
    tl.store(mean + flat, m)
    tl.store(square + flat, v)
    tl.store(master + flat, p)
    tl.store(weight + flat, p.to(weight.dtype.element_ty))


class AdamWithCopy:
    """AdamW on an arena's buffers, its changes being the masters; layers of multiples of 8."""

    def __init__(self, arena: Arena, rate: float, decay: float) -> None:
        self.arena, self.rate, self.decay = arena, rate, decay
        device = arena.gate_score.device
        first = torch.tensor(arena.starts) // BLOCK
        layers = torch.arange(len(arena.weights))
        self.layer_of = torch.repeat_interleave(layers, first.diff()).to(device, torch.int32)
        self.first_block = first.to(device, torch.int32)
        sizes = [leaf.numel() for leaf in arena.leaves]
        if any(size % 8 for size in sizes):
            raise ValueError("a layer's size is no multiple of 8")
        self.numel = torch.tensor(sizes, dtype=torch.int32).to(device)
        self.steps = torch.zeros((), device=device)
        self.addresses: list[int] = []
        self.table = torch.zeros(len(sizes), dtype=torch.int64, device=device)
        arena.merged.copy_(arena.change)

    @torch.no_grad()
    def step(self) -> None:
        """One step from the leaves' gradients."""
        gradients = self.arena.gradients()
        addresses = [gradient.data_ptr() for gradient in gradients]
        if addresses != self.addresses:
            self.table = torch.tensor(addresses).to(self.table.device)
            self.addresses = addresses
        self.steps += 1
        arena = self.arena
        kind = {torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}[gradients[0].dtype]
        adamw_kernel[(len(self.layer_of),)](
            self.table, arena.change, arena.momentum, second(arena), arena.merged, self.layer_of,
            self.first_block, self.numel, self.steps, self.rate, self.decay, B1=BETAS[0],
            B2=BETAS[1], EPSILON=EPSILON, GRADIENT=kind, **STREAM.arguments,
        )  # fmt: skip


def second(arena: Arena) -> Tensor:
    """The second moments, which AdamW has."""
    assert arena.variance is not None
    return arena.variance
