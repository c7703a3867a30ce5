"""Layers of which only some weights are kept, stored as one bit for each and the kept values."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from suite.nn.bits import pack, unpack


class SparseWeights(nn.Module):
    """The weights of several layers, of n elements in all, and the mask of those that are kept.

    The layers get weights of their own, so that a backbone's stay as they are. `values` and `bits`
    are what is stored: `bits` is always up to date, `values` is brought up to date by `pack`.
    """

    bits: Tensor

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        for layer in layers:
            layer.weight = nn.Parameter(_weight(layer).detach().clone())
        # In a tuple, so that they are no submodules here.
        self._layers = tuple(layers)
        self.register_buffer("bits", pack(torch.ones(self.size, dtype=torch.bool)))
        self.values = nn.Parameter(torch.empty(0), requires_grad=False)

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weights, one tensor a layer, zero where they are not kept."""
        return [_weight(layer) for layer in self._layers]

    @property
    def size(self) -> int:
        """n, the number of weights, kept or not."""
        return sum(weight.numel() for weight in self.weights)

    @property
    def mask(self) -> Tensor:
        """Which weights are kept, bool [n]."""
        return unpack(self.bits, self.size)

    @torch.no_grad()
    def prune(self, mask: Tensor) -> None:
        """Keep the weights at which `mask`, bool [n], is true, and set the others to zero."""
        self.bits.copy_(pack(mask))
        for weight, kept in zip(self.weights, self._split(mask), strict=True):
            weight.masked_fill_(~kept, 0.0)

    def hold(self) -> list[RemovableHandle]:
        """Give the weights that are not kept no gradient, so that training leaves them at zero,
        until the handles are removed."""
        return [
            weight.register_hook(lambda gradient, kept=kept: gradient * kept)
            for weight, kept in zip(self.weights, self._split(self.mask), strict=True)
        ]

    @torch.no_grad()
    def pack(self) -> None:
        """Write the kept weights into `values`."""
        self.values.data = torch.cat([w.flatten() for w in self.weights])[self.mask]

    @torch.no_grad()
    def unpack(self, values: Tensor) -> None:
        """Set the kept weights, at the true elements of the mask in turn, and zero the others."""
        flat = torch.zeros(self.size, device=self.bits.device)
        flat[self.mask] = values.to(flat)
        for weight, own in zip(self.weights, self._split(flat), strict=True):
            weight.copy_(own)

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([weight.numel() for weight in self.weights])
        return [part.view_as(weight) for weight, part in zip(self.weights, parts, strict=True)]


def _weight(layer: nn.Module) -> nn.Parameter:
    return cast(nn.Parameter, layer.weight)


def most_important(
    losses: Iterable[Tensor], weights: Sequence[nn.Parameter], keep: float
) -> Tensor:
    """Which weights one task wants to keep: the share `keep` of largest importance, bool [n].

    Importance is w^2 sum_b |dL_b / dw| over the losses of batches b. Sun et al., "DiSparse:
    Disentangled Sparsification for Multitask Model Compression", CVPR 2022, arXiv 2206.04662,
    section 3, as in the public code for pretrained networks.
    """
    sums = [torch.zeros_like(weight) for weight in weights]
    for loss in losses:
        for total, gradient in zip(sums, torch.autograd.grad(loss, weights), strict=True):
            total += gradient.abs()
    scores = torch.cat(
        [
            (total * weight.detach() ** 2).flatten()
            for total, weight in zip(sums, weights, strict=True)
        ]
    )
    return scores >= scores.topk(max(int(keep * len(scores)), 1)).values[-1]
