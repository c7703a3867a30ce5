"""A model as its backbone's own network with other weights, where it is equal to one.

Nothing is asked of a method: a layer in the place of a frozen linear layer or convolution folds if
it is affine, which is seen from what it answers, and the whole folds if the network that results
answers as the model does.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.per_task import PerTask
from suite.export.subject import Subject

LIMIT = 1e-5
"""Largest relative difference of outputs that rounding explains."""
AFFINE = 1e-9
"""The same of one layer, in double precision."""


def folded(subject: Subject) -> tuple[nn.Module, float] | None:
    """A new network and how far its outputs are from the model's, relative to the largest; None if
    no weights of the network give the model's outputs."""
    network = subject.pristine.fresh().network
    changed = subject.network
    for name, layer in network.named_modules():
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        if not own:
            continue
        values = _values(layer, _at(changed, name))
        if values is None:
            return None
        with torch.no_grad():
            for key, tensor in own:
                tensor.copy_(values[key])
    difference = subject.difference(network)
    return (network, difference) if difference <= LIMIT else None


def _at(network: nn.Module, name: str) -> nn.Module | None:
    """The module at a name, the active task's where tasks have their own."""
    try:
        module = network.get_submodule(name)
    except AttributeError:
        return None
    while isinstance(module, PerTask):
        module = module.current
    return module


def _values(layer: nn.Module, changed: nn.Module | None) -> dict[str, Tensor] | None:
    """What the tensors of a frozen layer would have to be for it to do what `changed` does."""
    if changed is None:
        return None
    kind = type(layer)
    if type(changed) is not kind and kind in (nn.Linear, nn.Conv2d):
        try:
            return _affine(layer, changed)
        except RuntimeError:
            # It cannot be run apart from the network: it reads something from elsewhere.
            return None
    if not isinstance(changed, kind):
        return None
    names = [*layer._parameters, *layer._buffers]
    found = {name: getattr(changed, name) for name in names}
    same = all((found[n] is None) == (getattr(layer, n) is None) for n in names)
    return {n: found[n] for n in names if found[n] is not None} if same else None


@torch.no_grad()
def _affine(layer: nn.Module, changed: nn.Module) -> dict[str, Tensor] | None:
    """Weight and bias of an affine `changed`, from its answers to unit vectors and to nothing."""
    exact = copy.deepcopy(changed).double().eval()
    if isinstance(layer, nn.Linear):
        units = torch.eye(layer.in_features, dtype=torch.float64)[:, None]  # [in, 1, in]
        bias = exact(torch.zeros_like(units[:1]))[0, 0]
        weight = (exact(units)[:, 0] - bias).T
        x = torch.randn(3, 5, layer.in_features, dtype=torch.float64, generator=_draw())
        found, expected = exact(x), F.linear(x, weight, bias)
    else:
        assert isinstance(layer, nn.Conv2d)
        if layer.groups != 1 or layer.dilation != (1, 1) or isinstance(layer.padding, str):
            return None
        # The first output whose window lies inside the image starts at `start`.
        at = [math.ceil(p / s) for p, s in zip(layer.padding, layer.stride, strict=True)]
        start = [a * s - p for a, s, p in zip(at, layer.stride, layer.padding, strict=True)]
        height, width = layer.kernel_size
        count = layer.in_channels * height * width
        units = torch.zeros(count, layer.in_channels, start[0] + height, start[1] + width).double()
        window = units[:, :, start[0] :, start[1] :]
        window.copy_(torch.eye(count, dtype=torch.float64).view_as(window))
        bias = exact(torch.zeros_like(units[:1]))[0, :, at[0], at[1]]
        answers = exact(units)[:, :, at[0], at[1]] - bias
        weight = answers.T.reshape(layer.weight.shape)
        x = torch.randn(2, layer.in_channels, 9, 11, dtype=torch.float64, generator=_draw())
        found = exact(x)
        expected = F.conv2d(x, weight, bias, layer.stride, layer.padding)
    if found.shape != expected.shape or not _close(found, expected):
        return None
    if layer.bias is None:
        return {"weight": weight} if _close(bias, torch.zeros_like(bias)) else None
    return {"weight": weight, "bias": bias}


def _close(found: Tensor, expected: Tensor) -> bool:
    room = AFFINE * float(expected.abs().max() + 1e-3)
    return bool((found - expected).abs().max() <= room)


def _draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)
