"""Weighted Chebyshev scalarisation: the largest of several losses is minimised.

Hotegni, Berkemeier and Peitz, "Multi-Objective Optimization for Sparse Deep Multi-Task Learning",
IJCNN 2024, https://doi.org/10.1109/IJCNN60899.2024.10650994, with its augmented Lagrangian.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

AUGMENTATION = 1e-4
"""Share of the sum of all losses in every constraint, as in the public code (epsilon)."""


class Chebyshev(nn.Module):
    """min b, subject to c_t = w (l_t + epsilon sum_j l_j) - b <= 0 with w = 1 / T, for the losses
    l_t of T tasks: b + sum_t m_t c_t + penalty / 2 sum_t c_t^2, whose multipliers m_t start at
    1 / T and grow where a constraint was violated. The bound b trains with the network.
    """

    multipliers: Tensor
    last: Tensor
    violation: Tensor

    def __init__(self, tasks: Sequence[str], penalty: float, growth: float, rounds: int) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.penalty, self.growth, self.rounds = penalty, growth, rounds
        self.done = 0
        self.bound = nn.Parameter(torch.randn(()))
        count = len(self.tasks)
        self.register_buffer("multipliers", torch.full((count,), 1 / count), persistent=False)
        self.register_buffer("last", torch.zeros(count), persistent=False)
        self.register_buffer("violation", torch.zeros(count), persistent=False)

    def forward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> Tensor:
        """The augmented Lagrangian, a scalar, of the losses of a batch by task.

        Tasks that are not in the batch count with their last loss, 0 before the first. `share` is
        how often a task is in a batch: its gradients are divided by it.
        """
        # No index of tasks: it would be copied to the device, which the host would wait for.
        values = torch.stack(
            [
                own.detach() + (own - own.detach()) / share
                if (own := losses.get(task)) is not None
                else last
                for task, last in zip(self.tasks, self.last.clone().unbind(), strict=True)
            ]
        )
        self.last.copy_(values.detach())
        weight = 1 / len(self.tasks)
        constraints = weight * (values + AUGMENTATION * values.sum()) - self.bound
        self.violation += constraints.detach()
        quadratic = self.penalty / 2 * constraints.square().sum()
        return self.bound + self.multipliers @ constraints + quadratic

    def advance(self, progress: float) -> None:
        """End the rounds that are over at `progress` (0 to 1) through training."""
        while self.done < int(progress * self.rounds):
            # Not in place: the graph of the batch that was just seen holds the old ones.
            self.multipliers = self.multipliers + self.penalty * self.violation
            self.violation.zero_()
            self.penalty *= self.growth
            self.done += 1
