"""Frozen weights behind learned masks of one bit each.

Piggyback: Mallya, Davis and Lazebnik, "Adapting a Single Network to Multiple Tasks by Learning to
Mask Weights", ECCV 2018, arXiv 1801.06519, section 3.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.nn.bits import pack, unpack
from suite.nn.task_weights import TaskConv2d, TaskLinear, with_transforms


class BinaryMask(nn.Module):
    """W * 1[score > threshold], every weight with a score of its own.

    The step passes gradients straight through: a score receives dL/dW * W0. `bits` holds the mask
    as it is stored, eight weights to a byte, and is only brought up to date by `pack`.
    """

    bits: Tensor

    def __init__(self, weight: Tensor, score: float, threshold: float) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.full_like(weight, score))
        self.threshold = threshold
        size = (weight.numel() + 7) // 8
        self.register_buffer("bits", torch.zeros(size, dtype=torch.uint8, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The kept weights, of the shape of the frozen `weight`."""
        kept = (self.score > self.threshold).to(self.score.dtype)
        # The bracket is exactly zero: it only carries the gradient.
        return weight * (kept + (self.score - self.score.detach()))

    @torch.no_grad()
    def pack(self) -> None:
        """Write the mask of the scores into `bits`; weight 0 is the lowest bit of byte 0."""
        self.bits.copy_(pack(self.score > self.threshold))

    @torch.no_grad()
    def unpack(self) -> None:
        """Set scores on the side of the threshold that `bits` gives."""
        kept = unpack(self.bits, self.score.numel()).view_as(self.score)
        self.score.copy_(self.threshold + torch.where(kept, 1.0, -1.0))


def masked(
    layer: nn.Module, context: TaskContext, score: float, threshold: float
) -> TaskLinear | TaskConv2d:
    """`layer` with a mask for every task, which keeps all weights if `score` > `threshold`."""
    weight = layer.get_parameter("weight")
    masks = {task: BinaryMask(weight, score, threshold) for task in context.tasks}
    return with_transforms(layer, PerTask(context, masks))


def packed(model: nn.Module, names: Iterable[str]) -> Sequence[str]:
    """`names` without the scores of masks, but with their bits, which are brought up to date."""
    scores = set()
    for name, mask in named_masks(model):
        mask.pack()
        scores.add(f"{name}.score")
    return [name for name in names if name not in scores]


def unpack_all(model: nn.Module) -> None:
    """Give every mask the scores that its stored bits stand for."""
    for _, mask in named_masks(model):
        mask.unpack()


def named_masks(model: nn.Module) -> Iterator[tuple[str, BinaryMask]]:
    """Every mask of the model and its name."""
    for name, module in model.named_modules():
        if isinstance(module, BinaryMask):
            yield name, module
