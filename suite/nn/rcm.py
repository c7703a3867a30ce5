"""Convolutions split into a frozen filter bank and a task's mixture of its responses.

RCM: Kanakis et al., "Reparameterizing Convolutions for Incremental Multi-Task Learning without Task
Interference", ECCV 2020, arXiv 2007.12540, section 3.
"""

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.nn.task_weights import TaskConv2d


class Modulator(nn.Module):
    """W = W_t W_s: W_s = U^T W0 frozen, W_t = U at first and then the task's own.

    U [outputs, outputs] holds the principal directions of the layer's responses to white inputs,
    which are the left singular vectors of W0. W_s follows from W0 and is not stored. With
    `normalised`, every row of W_t is a direction times a length that trains on its own (the
    paper's normalised feature fusion).
    """

    bank: Tensor

    def __init__(self, weight: Tensor, normalised: bool) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1).double()
        directions = torch.linalg.svd(matrix).U
        # A singular vector is only defined up to its sign: let its largest entry be positive.
        largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
        directions = directions * largest.sign()
        bank = directions.T @ matrix
        bank[min(matrix.shape) :] = 0  # No filter responds in these directions: only rounding.
        self.mixture = nn.Parameter(directions.to(weight.dtype).contiguous())
        self.lengths = nn.Parameter(self.mixture.detach().norm(dim=1)) if normalised else None
        self.register_buffer("bank", bank.to(weight.dtype), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """The task's kernel, of the shape of the frozen `weight`."""
        mixture = self.mixture
        if self.lengths is not None:
            mixture = mixture * (self.lengths / mixture.norm(dim=1)).unsqueeze(1)
        return (mixture @ self.bank).view_as(weight)


def reparameterised(conv: nn.Conv2d, context: TaskContext, normalised: bool) -> TaskConv2d:
    """`conv` with a mixture for every task; its output is the same, but for rounding, at first."""
    modulators = {task: Modulator(conv.weight, normalised) for task in context.tasks}
    return TaskConv2d(conv, PerTask(context, modulators))
