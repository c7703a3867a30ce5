"""What a layer is, told by what it is made of and computes; libraries name the same thing in many
ways."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def is_norm(module: nn.Module) -> bool:
    """Whether a layer normalises its input and has a scale of its own for every channel.

    It is a norm of torch or derived from one, or has no weights but a scale [n] and perhaps a shift
    [n], and what it gives does not depend on the scale of what it gets. A layer with scale and
    shift alone counts too: it stands where others normalise.
    """
    weight = getattr(module, "weight", None)
    if not isinstance(weight, nn.Parameter):
        return False
    if isinstance(module, NORMS):
        return True
    own = dict(module.named_parameters())
    if weight.ndim != 1 or own.keys() - {"weight", "bias"}:
        return False
    if "bias" in own:
        return own["bias"].shape == weight.shape
    return _ignores_scale(module, weight.numel())


def channels_first(norm: nn.Module, channels: int) -> bool:
    """Whether a norm takes images [B, channels, H, W], and not [..., channels]."""
    # Shapes alone, of a copy, and sides that are not the number of channels.
    layer = copy.deepcopy(norm).to("meta").eval()
    images = torch.empty(2, channels, channels + 1, channels + 2, device="meta")
    try:
        return layer(images).shape == images.shape
    except (RuntimeError, TypeError, ValueError):
        return False


def _ignores_scale(module: nn.Module, channels: int) -> bool:
    """Whether a layer gives the same for its input times a number."""
    # On a copy with a scale of one: that of the network may be zero, or on no device at all.
    layer = copy.deepcopy(module).to_empty(device="cpu").float().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        layer.get_parameter("weight").fill_(1.0)
        for shape in ((2, 3, channels), (2, channels, 3, 3)):
            x = torch.randn(shape, generator=generator, device="cpu")
            try:
                y, scaled = layer(x), layer(8 * x)
            except (RuntimeError, TypeError, ValueError):
                continue
            if isinstance(y, torch.Tensor) and y.shape == x.shape and bool(y.any()):
                return torch.allclose(y, scaled, rtol=1e-2, atol=1e-3)
    return False
