"""Rows of several tasks in one batch, sorted so that rows with the same weights are neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """How many consecutive rows each group of a sorted batch has; a group may have none."""

    sizes: tuple[int, ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each group starts, and behind the last one the number of rows."""
        return (0, *accumulate(self.sizes))

    def times(self, factor: int) -> "Segments":
        """The segments where every row has become `factor` rows, such as the tokens of a text."""
        return Segments(tuple(size * factor for size in self.sizes))

    def joined(self, groups: Sequence[int]) -> "Segments":
        """Neighbours with the same number in `groups` become one segment: `groups` counts up from
        0 by 0 or 1, such as [0, 0, 1, 2, 2]."""
        sizes = [0] * (groups[-1] + 1)
        for group, size in zip(groups, self.sizes, strict=True):
            sizes[group] += size
        return Segments(tuple(sizes))

    def ends(self, device: torch.device) -> Tensor:
        """Where each group ends, int32 [G] on `device`."""
        return _on_device(self.starts[1:], device)

    def bounds(self, device: torch.device) -> Tensor:
        """`starts`, int32 [G + 1] on `device`."""
        return _on_device(self.starts, device)

    def tiles(self, rows: int, device: torch.device) -> Tensor:
        """The segments cut into tiles of at most `rows` rows: int32 [3, tiles] on `device`, the
        first row of every tile, the end of its segment and the segment's number."""
        return _tiles(self, rows, device)


def grouped_linear(
    x: Tensor, weights: Tensor, segments: Segments, bias: Tensor | None = None
) -> Tensor:
    """Rows [M, K] of G groups times their weights [G, N, K], plus one bias [N] -> [M, N].

    On CUDA one grouped matrix product, where there is one: for bfloat16, N and K divisible by 8.
    Elsewhere one product after the other.
    """
    if has_grouped_product(x, weights):
        out = F.grouped_mm(x, weights.transpose(1, 2), offs=segments.ends(x.device))
        return out if bias is None else out + bias
    parts = x.split(segments.sizes)
    return torch.cat([F.linear(part, w, bias) for part, w in zip(parts, weights, strict=True)])


def has_grouped_product(x: Tensor, weights: Tensor) -> bool:
    """Whether PyTorch multiplies such rows and weights in one launch."""
    whole = all(size % 8 == 0 for size in weights.shape[-2:])
    return x.is_cuda and x.dtype == torch.bfloat16 and whole


@lru_cache(maxsize=1024)
def _on_device(values: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.int32, device=device)


@lru_cache(maxsize=1024)
def _tiles(segments: Segments, rows: int, device: torch.device) -> Tensor:
    starts = segments.starts
    tiles = [
        (row, starts[group + 1], group)
        for group, size in enumerate(segments.sizes)
        for row in range(starts[group], starts[group] + size, rows)
    ]
    return torch.tensor(tiles, dtype=torch.int32, device=device).reshape(-1, 3).T.contiguous()
