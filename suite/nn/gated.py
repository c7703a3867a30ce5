"""Weights that a task may change, each layer's change behind a learned gate.

TAPS: Wallingford et al., "Task Adaptive Parameter Sharing for Multi-Task Learning", CVPR 2022,
arXiv 2203.16708, section 3.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.nn.task_weights import TaskConv2d, TaskLinear, with_transforms


class GatedChange(nn.Module):
    """One task's change of one layer's weights, used if its gate score is at least a threshold.

    W = W0 + 1[s >= threshold] * D with the gate score s and the weight change D. The step function
    has no useful derivative in s: `suite.nn.gated_training` trains gates, and computes the
    gradients of s and D from the gradient of W.
    """

    def __init__(self, weight: Tensor, gate_score: float, threshold: float) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros_like(weight))
        self.gate_score = nn.Parameter(torch.full((), gate_score, device=weight.device))
        self.threshold = threshold
        self.merged: Tensor | None = None
        """The task's weights, written by an arena while it trains them."""
        self.could_close = False
        """Whether its training was long enough to close a gate that no task pushes."""

    def forward(self, weight: Tensor) -> Tensor:
        """The task's weights, of the shape of the frozen `weight`."""
        if self.merged is not None:
            return self.merged
        # A product, not a branch: on a GPU no layer has to wait for the host to see its gate.
        return weight + (self.gate_score >= self.threshold) * self.change

    @property
    def is_open(self) -> bool:
        """Whether the task uses its change (reads the device)."""
        return bool(self.gate_score >= self.threshold)

    @torch.no_grad()
    def set_open(self, is_open: bool) -> None:
        """Force the gate to one side of the threshold."""
        self.gate_score.fill_(self.threshold + (1.0 if is_open else -1.0))


def gated(
    layer: nn.Module, context: TaskContext, gate_score: float, threshold: float
) -> TaskLinear | TaskConv2d:
    """`layer` with a gated change for every task; its output is the same until one is trained."""
    weight = layer.get_parameter("weight")
    changes = {task: GatedChange(weight, gate_score, threshold) for task in context.tasks}
    return with_transforms(layer, PerTask(context, changes))


def gates(model: nn.Module, task: str) -> list[GatedChange]:
    """The task's gated changes, in the network's order."""
    return [gate for _, own, gate in gated_layers(model) if own == task]


def gated_layers(model: nn.Module) -> Iterator[tuple[TaskLinear | TaskConv2d, str, GatedChange]]:
    """(layer, task, the task's gated change of it), in the network's order."""
    for layer in model.modules():
        if isinstance(layer, TaskLinear | TaskConv2d):
            for task, change in layer.transforms.by_task.items():
                if isinstance(change, GatedChange):
                    yield layer, task, change


def without_closed(model: nn.Module, names: Iterable[str]) -> Sequence[str]:
    """`names` less all gate scores and the changes of closed gates: what inference needs."""
    unused = {f"{name}.gate_score" for name, _ in _named_gates(model)}
    unused |= {f"{name}.change" for name, gate in _named_gates(model) if not gate.is_open}
    return [name for name in names if name not in unused]


def open_stored(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Open exactly the gates whose change is among the saved `tensors`."""
    for name, gate in _named_gates(model):
        gate.set_open(f"{name}.change" in tensors)


def _named_gates(model: nn.Module) -> Iterator[tuple[str, GatedChange]]:
    for name, module in model.named_modules():
        if isinstance(module, GatedChange):
            yield name, module
