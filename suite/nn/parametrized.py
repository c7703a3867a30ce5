"""Networks whose every weight is computed by something that a method puts in its place."""

from collections.abc import Iterable

from torch import nn
from torch.nn.utils.parametrize import (
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
)

from suite.backbones.parameters import ParameterSet
from suite.backbones.per_task import PerTask


def shared_parameters(network: nn.Module) -> ParameterSet:
    """The parameters that no `PerTask` holds, tied ones once."""
    own = ParameterSet(
        parameter
        for module in network.modules()
        if isinstance(module, PerTask)
        for parameter in module.parameters()
    )
    return ParameterSet(network.parameters()) - own


def parametrize(network: nn.Module, forms: Iterable[nn.Module]) -> None:
    """Let each of the `shared_parameters` pass through the form in its place, wherever it is used:
    a parameter to a tensor of its shape. The parameters stay the same objects."""
    form_of = dict(zip(shared_parameters(network), forms, strict=True))
    for module in list(network.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter in form_of:
                register_parametrization(module, name, form_of[parameter])


def unparametrize(network: nn.Module) -> None:
    """Use the parameters as they are again."""
    for module in list(network.modules()):
        if is_parametrized(module):
            assert isinstance(module.parametrizations, nn.ModuleDict)
            for name in list(module.parametrizations):
                remove_parametrizations(module, name, leave_parametrized=False)
