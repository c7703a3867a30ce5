"""One changed network for all tasks, of whose changes each task uses those that its mask keeps.

EMR-merging: Huang et al., NeurIPS 2024, arXiv 2405.17461; TALL-masks: Wang et al., ICML 2024,
arXiv 2405.07813.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.nn.bits import pack, unpack
from suite.nn.parametrized import parametrize, shared_parameters


class TaskMask(nn.Module):
    """One task's mask over n weights, a bit for each, and, if `scaled`, the factor [] of what it
    keeps."""

    bits: Tensor

    def __init__(self, weights: int, scaled: bool) -> None:
        super().__init__()
        self.register_buffer("bits", pack(torch.ones(weights, dtype=torch.bool)))
        self.scale = nn.Parameter(torch.ones(())) if scaled else None

    def forward(self, change: Tensor, start: int) -> Tensor:
        """What is kept of a change, of any shape, that the mask covers from element `start` on."""
        kept = unpack(self.bits, change.numel(), start).view_as(change)
        kept_change = torch.where(kept, change, 0.0)
        return kept_change if self.scale is None else self.scale * kept_change


class MaskedChanges(nn.Module):
    """W = W0 + scale_t mask_t (W_merged - W0) in every parameter of a network that is not inside a
    `PerTask`, for the active task.

    W0 is what the parameters are when this is made. They are used as they are, to be trained,
    until `merged` is set. Masks cover `shared_parameters` in their order.
    """

    def __init__(self, network: nn.Module, context: TaskContext, scaled: bool) -> None:
        super().__init__()
        self.merged = False
        parameters = shared_parameters(network)
        *starts, weights = accumulate((p.numel() for p in parameters), initial=0)
        masks = {task: TaskMask(weights, scaled) for task in context.tasks}
        self.masks = PerTask(context, masks)
        placed = zip(parameters, starts, strict=True)
        parametrize(network, (_Masked(parameter, start, self) for parameter, start in placed))

    def set_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Give every task its mask, bool [n]; from now on they are used."""
        for task, mask in masks.items():
            self.of(task).bits.copy_(pack(mask))
        self.merged = True

    def set_scales(self, scales: Mapping[str, Tensor]) -> None:
        """Give every task the factor [] of what its mask keeps, if they are `scaled`."""
        for task, scale in scales.items():
            own = self.of(task).scale
            assert own is not None
            own.data.copy_(scale)

    def of(self, task: str) -> TaskMask:
        """The mask of a task."""
        return cast(TaskMask, self.masks.by_task[task])


class _Masked(nn.Module):
    """The form of one parameter, which a mask covers from its element `start` on."""

    first: Tensor

    def __init__(self, weight: Tensor, start: int, changes: MaskedChanges) -> None:
        super().__init__()
        self.register_buffer("first", weight.detach().clone(), persistent=False)
        self.start = start
        # In a tuple, so that it is no submodule of every layer.
        self._changes = (changes,)

    def forward(self, weight: Tensor) -> Tensor:
        """The active task's weights, of the shape of the merged `weight`."""
        (changes,) = self._changes
        if not changes.merged:
            return weight
        return self.first + changes.masks(weight - self.first, self.start)
