"""Layers whose frozen weights every task transforms in its own way."""

import inspect

from torch import Tensor, nn
from torch.func import functional_call

from suite.backbones.per_task import PerTask
from suite.nn.convolution import padding_of, pair


class TaskLinear(nn.Linear):
    """A linear layer that keeps the frozen weight and bias of `layer`, and computes with the weight
    as the active task's module of `transforms` changes it."""

    def __init__(self, layer: nn.Linear, transforms: PerTask) -> None:
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.transforms = transforms
        self.form = None if _is_plain(layer, nn.Linear) else layer
        """The layer itself, if it does something with its weight that a linear layer does not."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        if self.transforms.splits_batch:
            return self.transforms.context.task_by_task(self.forward, x)
        if self.form is not None:
            return functional_call(self.form, {"weight": self.transforms(self.weight)}, (x,))
        return nn.functional.linear(x, self.transforms(self.weight), self.bias)


class TaskConv2d(nn.Conv2d):
    """The same for a convolution."""

    def __init__(self, layer: nn.Conv2d, transforms: PerTask) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            pair(layer.kernel_size),
            pair(layer.stride),
            padding_of(layer),
            pair(layer.dilation),
            layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.transforms = transforms
        self.form = None if _is_plain(layer, nn.Conv2d) else layer
        """The layer itself, if it does more: standardises its weight, pads for an output size."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        if self.transforms.splits_batch:
            return self.transforms.context.task_by_task(self.forward, x)
        if self.form is not None:
            return functional_call(self.form, {"weight": self.transforms(self.weight)}, (x,))
        return self._conv_forward(x, self.transforms(self.weight), self.bias)


def with_transforms(layer: nn.Module, transforms: PerTask) -> TaskLinear | TaskConv2d:
    """`layer` with every task's transform of its weight; raises TypeError if it is neither a
    convolution nor a linear layer."""
    if isinstance(layer, nn.Conv2d):
        return TaskConv2d(layer, transforms)
    if isinstance(layer, nn.Linear):
        return TaskLinear(layer, transforms)
    raise TypeError(f"no convolution and no linear layer: {type(layer).__name__}")


def _is_plain(layer: nn.Module, form: type[nn.Module]) -> bool:
    """Whether a layer computes what layers of this form compute."""
    return all(
        inspect.getattr_static(type(layer), name, None) is inspect.getattr_static(form, name, None)
        for name in ("__call__", "forward", "_conv_forward")
    )
