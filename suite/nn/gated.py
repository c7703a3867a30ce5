"""Layers whose weights a task may change, each behind a learned gate.

TAPS: Wallingford et al., "Task Adaptive Parameter Sharing for Multi-Task Learning", CVPR 2022,
arXiv 2203.16708, section 3.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.nn.kernels.gated_linear import gated_linear
from suite.nn.kernels.grouped import Segments, grouped_linear


class GatedResidual(nn.Module):
    """One task's change `delta` of one layer's weights, used while its score reaches a threshold.

    W = W0 + 1[score >= threshold] * delta. The step passes gradients straight through: the score
    receives <dL/dW, delta> whether the gate is open or closed, delta receives dL/dW while open and
    zero while closed.
    """

    def __init__(self, weight: Tensor, score: float, threshold: float) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros_like(weight))
        self.score = nn.Parameter(torch.full((), score, device=weight.device))
        self.threshold = threshold
        self.merged: Tensor | None = None
        """The task's weights as a leaf, while an arena trains them (`suite.nn.gated_training`)."""

    def forward(self, weight: Tensor) -> Tensor:
        """The task's weights, of the shape of the frozen `weight`."""
        if self.merged is not None:
            return self.merged
        step = (self.score >= self.threshold).to(self.score.dtype)
        # The bracket is exactly zero: it only carries the gradient.
        gate = step + (self.score - self.score.detach())
        return weight + gate * self.delta

    @property
    def is_open(self) -> bool:
        """Whether the task uses its change (reads the device)."""
        return bool(self.score >= self.threshold)

    @torch.no_grad()
    def set_open(self, is_open: bool) -> None:
        """Force the gate to one side of the threshold."""
        self.score.fill_(self.threshold + (1.0 if is_open else -1.0))


class MergedWeights:
    """One layer's weights for all tasks, kept for evaluation until one of them changes.

    Neighbouring tasks whose gates are closed share one copy of the frozen weight.
    """

    def __init__(self) -> None:
        self._made_of: object = None
        self._weights = torch.empty(0)
        self._groups: list[int] = []

    def product(
        self,
        x: Tensor,
        weight: Tensor,
        residuals: Sequence[GatedResidual],
        segments: Segments,
        bias: Tensor | None,
    ) -> Tensor:
        """Rows [M, K], segment t for task t, times every task's weights -> [M, N]."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        sources = [weight, *(t for own in residuals for t in (own.delta, own.score))]
        made_of = (x.dtype, [(t.data_ptr(), t._version) for t in sources])
        if made_of != self._made_of:
            self._merge(weight, residuals, x.dtype)
            self._made_of = made_of
        bias = None if bias is None else bias.to(x.dtype)
        return grouped_linear(x, self._weights, segments.joined(self._groups), bias)

    def _merge(
        self, weight: Tensor, residuals: Sequence[GatedResidual], dtype: torch.dtype
    ) -> None:
        opened = [residual.is_open for residual in residuals]
        starts = [
            index == 0 or opened[index] or opened[index - 1] for index in range(len(residuals))
        ]
        self._groups = [sum(starts[: index + 1]) - 1 for index in range(len(residuals))]
        first = [residual for residual, new in zip(residuals, starts, strict=True) if new]
        self._weights = torch.stack([residual(weight).to(dtype) for residual in first])


class GatedLinear(nn.Linear):
    """A linear layer that shares the frozen weight and bias and adds the active task's change."""

    def __init__(self, layer: nn.Linear, residuals: PerTask) -> None:
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.residuals = residuals
        self.merged_weights = MergedWeights()

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        if self.residuals.context.rows is not None:
            return self._mixed(x)
        return nn.functional.linear(x, self.residuals(self.weight), self.bias)

    def _mixed(self, x: Tensor) -> Tensor:
        """The same for rows of several tasks, in one product."""
        context = self.residuals.context
        residuals = [self.residuals.by_task[task] for task in context.tasks]
        if not all(isinstance(own, GatedResidual) and own.merged is None for own in residuals):
            return context.apart(self.forward, x)
        rows = x.flatten(0, -2)
        segments = Segments(context.rows).times(len(rows) // sum(context.rows))
        if torch.is_grad_enabled():
            deltas = torch.stack([residual.delta for residual in residuals])
            scores = torch.stack([residual.score for residual in residuals])
            threshold = residuals[0].threshold
            out = gated_linear(rows, self.weight, deltas, scores, segments, threshold, self.bias)
        else:
            out = self.merged_weights.product(rows, self.weight, residuals, segments, self.bias)
        return out.unflatten(0, x.shape[:-1])


class GatedConv2d(nn.Conv2d):
    """A convolution that shares the frozen weight and bias and adds the active task's change."""

    def __init__(self, layer: nn.Conv2d, residuals: PerTask) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.residuals = residuals

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        if self.residuals.context.rows is not None:
            return self.residuals.context.apart(self.forward, x)
        return self._conv_forward(x, self.residuals(self.weight), self.bias)


def gated(
    layer: nn.Linear | nn.Conv2d, context: TaskContext, score: float, threshold: float
) -> GatedLinear | GatedConv2d:
    """`layer` with a gated change for every task; its output is the same until one is trained."""
    residuals = PerTask(
        context, {task: GatedResidual(layer.weight, score, threshold) for task in context.tasks}
    )
    form = GatedConv2d if isinstance(layer, nn.Conv2d) else GatedLinear
    return form(layer, residuals)


def gates(model: nn.Module, task: str) -> list[GatedResidual]:
    """The task's gated changes, in the network's order."""
    return [
        layer.residuals.by_task[task]
        for layer in model.modules()
        if isinstance(layer, GatedLinear | GatedConv2d)
    ]


def mean_score(model: nn.Module, task: str) -> Tensor:
    """mean |s| over the task's gates, a scalar: the quantity TAPS penalises."""
    return torch.stack([gate.score for gate in gates(model, task)]).abs().mean()


def without_closed(model: nn.Module, names: Iterable[str]) -> Sequence[str]:
    """`names` less all scores and the changes behind closed gates: what inference needs."""
    unused = {f"{name}.score" for name, _ in _named_gates(model)}
    unused |= {f"{name}.delta" for name, gate in _named_gates(model) if not gate.is_open}
    return [name for name in names if name not in unused]


def open_stored(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Open exactly the gates whose change is among the saved `tensors`."""
    for name, gate in _named_gates(model):
        gate.set_open(f"{name}.delta" in tensors)


def _named_gates(model: nn.Module) -> Iterator[tuple[str, GatedResidual]]:
    for name, module in model.named_modules():
        if isinstance(module, GatedResidual):
            yield name, module
