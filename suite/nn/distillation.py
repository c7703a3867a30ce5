"""Learning from the features of a teacher.

Li and Bilen, "Knowledge Distillation for Multi-task Learning", ECCV Workshops 2020, arXiv
2007.06889, section 3.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.of_pass import OfPass
from suite.backbones.per_task import PerTask, TaskContext


class LastOutput(OfPass):
    """The output of a network in its last pass: a forward hook.

    A copy starts empty: the output belongs to a pass, not to the network.
    """

    @classmethod
    def of(cls, network: nn.Module) -> "LastOutput":
        """A new one that watches `network`."""
        last = cls()
        network.register_forward_hook(last)
        return last

    def __call__(self, network: nn.Module, args: object, output: Any) -> None:
        """Keep the output, or the first item of an output of many."""
        self.value = output if isinstance(output, Tensor) else output[0]

    def read(self) -> Tensor:
        """The output; raises RuntimeError if there was no pass."""
        if self.value is None:
            raise RuntimeError("the network's output was asked for before it ran")
        return self.value

    def __deepcopy__(self, memo: object) -> "LastOutput":
        return LastOutput()


def adaptors(context: TaskContext, width: int) -> PerTask:
    """For every task a linear map from the common features [..., width] to its teacher's, the
    identity at first: student and teachers start from the same network."""
    layers = {task: nn.Linear(width, width, bias=False) for task in context.tasks}
    for layer in layers.values():
        nn.init.eye_(layer.weight)
    return PerTask(context, layers)


def feature_distance(adapted: Tensor, target: Tensor) -> Tensor:
    """Mean of |a / |a| - t / |t||^2 over all features a, t [..., width]: a scalar from 0 to 4."""
    difference = F.normalize(adapted, dim=-1) - F.normalize(target, dim=-1)
    return difference.square().sum(-1).mean()
