"""What a tensor becomes in a file of less precision than float32, and back.

The rule, in one place:

- What is rounded is the difference from where training starts, W - W0, wherever W0 is the same for
  every seed: the backbone's own tensors and copies of them, what starts at zero or one, what is
  computed from the backbone. It is restored as W0 plus the rounded difference. A tensor that is
  drawn at random, as heads are, is rounded itself, as are lists of values (below).
- Whole numbers and truth values (masks, bitmaps, indices) stay as they are.
- `bfloat16`: all floating-point tensors.
- `int8`, `int4`, `binary`: matrices and kernels (two dimensions or more, whatever they are called)
  that are shared or a task's own, T5's output matrix included, and lists of values: vectors whose
  length training found, such as the kept weights of a sparse layer. Everything else (other
  vectors, heads, running statistics) is in bfloat16.
- `int8`, `int4`: whole numbers of at most 127 or 7 in magnitude, to the nearest, times a scale, the
  largest magnitude / 127 or 7. There is one scale for each output, that is, for each index of the
  first dimension; where that would be a scale for less than `SHARE` numbers, for as many successive
  outputs as have them.
- `binary`: signs, with +1 for zero, times one scale for the tensor, its mean magnitude (BitDelta:
  Liu et al., NeurIPS 2024, arXiv 2402.10193, section 3).
- Scales are bfloat16 and count as stored; two numbers of int4 and eight signs take a byte.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from suite.nn.bits import pack, unpack
from suite.registry.schema import Store

SHARE = 32
"""How many numbers share a scale at least, so that scales add at most half a bit to each."""
SCALE = "scale"
"""What follows the key of a tensor in that of its scales."""
_SMALLEST = torch.finfo(torch.bfloat16).tiny
"""Below it bfloat16 loses digits, and a scale would no longer be the one that was meant."""
_BITS = {Store.INT8: 8, Store.INT4: 4, Store.BINARY: 1}
_LARGEST = {Store.INT8: 127, Store.INT4: 7}


@dataclass(frozen=True)
class Codes:
    """A tensor as whole numbers, int8 of its shape or packed into uint8, and bfloat16 scales."""

    numbers: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Rounding:
    """How a model is stored: in which precision, and what is known of it before training."""

    store: Store
    starts: Mapping[str, Tensor]
    """Name -> where training starts, of the tensors that are the same for every seed."""
    shapes: Mapping[str, Sequence[int]]
    """Name -> the shape before training, of every tensor."""

    def has_start(self, name: str, tensor: Tensor) -> bool:
        """Whether the change of a tensor is rounded, not the tensor."""
        return name in self.starts and self.starts[name].shape == tensor.shape

    def is_list(self, name: str, tensor: Tensor) -> bool:
        """Whether training found how many values a tensor has."""
        return tensor.ndim == 1 and tuple(self.shapes[name]) != tuple(tensor.shape)


def is_coded(store: Store, role: str, shape: Sequence[int], is_list: bool = False) -> bool:
    """Whether a floating-point tensor becomes whole numbers with scales."""
    return store in _BITS and role in ("shared", "task") and (len(shape) > 1 or is_list)


def encode(tensor: Tensor, store: Store) -> Codes:
    """A tensor as whole numbers with scales, under a store that has them."""
    values = tensor.float()
    if store is Store.BINARY:
        # In float64 the sum does not depend on the number of threads, up to bfloat16.
        scale = _as_scale(values.abs().mean(dtype=torch.float64).reshape(1))
        return Codes(pack((values >= 0) | (scale == 0)), scale)
    rows = _rows(values)
    scale = _as_scale(rows.abs().amax(1) / _LARGEST[store])
    # Where the scale is zero, so are all numbers.
    steps = rows / torch.where(scale > 0, scale, torch.inf).float().unsqueeze(1)
    limit = _LARGEST[store]
    numbers = steps.round().clamp(-limit, limit).flatten()[: values.numel()].to(torch.int8)
    return Codes(numbers.view(tensor.shape) if store is Store.INT8 else _pairs(numbers), scale)


def decode(codes: Codes, shape: Sequence[int], store: Store) -> Tensor:
    """The tensor, float32 of `shape`, that whole numbers with scales stand for."""
    count = math.prod(shape)
    scale = codes.scale.float()
    if store is Store.BINARY:
        return torch.where(unpack(codes.numbers, count), scale, -scale).view(*shape)
    numbers = codes.numbers if store is Store.INT8 else _unpaired(codes.numbers, count)
    rows = _rows(numbers.float().view(*shape))
    return (rows * scale.unsqueeze(1)).flatten()[:count].view(*shape)


def layout(shape: Sequence[int], store: Store) -> tuple[tuple[int, ...], int]:
    """The shape of the whole numbers that a tensor becomes in a file, and how many scales there
    are."""
    count = math.prod(shape)
    if store is Store.BINARY:
        return ((count + 7) // 8,), 1
    scales = math.ceil(shape[0] / _outputs_of_a_scale(shape))
    return (tuple(shape) if store is Store.INT8 else ((count + 1) // 2,)), scales


def _outputs_of_a_scale(shape: Sequence[int]) -> int:
    return math.ceil(SHARE / math.prod(shape[1:]))


def _rows(values: Tensor) -> Tensor:
    """The numbers of each scale in a row, zeros behind the last."""
    width = _outputs_of_a_scale(values.shape) * math.prod(values.shape[1:])
    return F.pad(values.flatten(), (0, -values.numel() % width)).view(-1, width)


def _as_scale(values: Tensor) -> Tensor:
    scale = values.to(torch.bfloat16)
    return torch.where(scale >= _SMALLEST, scale, torch.zeros_like(scale))


def _pairs(numbers: Tensor) -> Tensor:
    """Numbers from -8 to 7 as nibbles in two's complement, the first in the low half of byte 0."""
    nibbles = F.pad(numbers & 15, (0, numbers.numel() % 2)).to(torch.uint8).view(-1, 2)
    return nibbles[:, 0] | nibbles[:, 1] << 4


def _unpaired(packed: Tensor, count: int) -> Tensor:
    nibbles = torch.stack((packed & 15, packed >> 4), 1).flatten()[:count].to(torch.int8)
    return torch.where(nibbles > 7, nibbles - 16, nibbles)
