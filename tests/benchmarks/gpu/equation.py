"""TAPS as its equation says, differentiated by autograd: what the arena is held against.

Wallingford et al., CVPR 2022, arXiv 2203.16708, section 3.
"""

import torch
from torch import Tensor, nn

from suite.nn.gated import GatedChange, gated_layers


class WrittenChange(nn.Module):
    """W0 + 1[s >= threshold] * D in every forward pass, of the parameters of a gate.

    The step passes gradients straight through: s receives <dL/dW, D> whether the gate is open or
    closed, D receives dL/dW while it is open and zero while it is closed.
    """

    def __init__(self, gate: GatedChange) -> None:
        super().__init__()
        self.change, self.gate_score = gate.change, gate.gate_score
        self.threshold = gate.threshold

    def forward(self, weight: Tensor) -> Tensor:
        """The task's weights, of the shape of the frozen `weight`."""
        step = (self.gate_score >= self.threshold).to(self.gate_score.dtype)
        # The bracket is exactly zero: it only carries the gradient.
        gate = step + (self.gate_score - self.gate_score.detach())
        return weight + gate * self.change


def write_out(model: nn.Module) -> list[WrittenChange]:
    """Put the written form in the place of every gate of a model; the new modules."""
    written = []
    for layer, task, gate in list(gated_layers(model)):
        layer.transforms.by_task[task] = WrittenChange(gate)
        written.append(layer.transforms.by_task[task])
    return written


def mean_score(written: list[WrittenChange]) -> Tensor:
    """mean |s| over the gates, a scalar: the quantity that TAPS penalises."""
    return torch.stack([own.gate_score for own in written]).abs().mean()
