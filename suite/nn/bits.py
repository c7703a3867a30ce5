"""Masks of one bit a weight, eight weights to a byte."""

import torch
from torch import Tensor


def pack(mask: Tensor) -> Tensor:
    """A boolean mask of n elements as uint8 [(n + 7) // 8]; element 0 is the lowest bit of byte 0,
    and the bits behind the last element are 0."""
    flat = torch.nn.functional.pad(mask.flatten().to(torch.uint8), (0, -mask.numel() % 8))
    return (flat.view(-1, 8) << _places(flat)).sum(1, dtype=torch.uint8)


def unpack(bits: Tensor, count: int, start: int = 0) -> Tensor:
    """`count` elements of a packed mask from element `start` on, bool [count]."""
    first = start // 8
    whole = bits[first : (start + count + 7) // 8, None]
    return (whole >> _places(bits) & 1).flatten()[start - 8 * first :][:count].bool()


def _places(like: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)
