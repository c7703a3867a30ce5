"""Plain networks in float64 whose weights are computed in the open."""

import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks
from torch.func import functional_call

from suite.method.load import load_method


def adapted_model(name, family, **changes):
    """A method and its model for one task, in float64 and evaluation mode."""
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone(family), tiny_tasks(family, 1)).double().eval()
    return method, model


def pristine_weights(family):
    """Every parameter and buffer of the pristine network in float64, by name."""
    network = tiny_backbone(family).network
    return {name: tensor.double() for name, tensor in network.state_dict().items()}


def inputs_of(family):
    """Inputs of one batch, floating-point ones in float64."""
    inputs = tiny_batch(family, "a").inputs
    return {n: v.double() if v.is_floating_point() else v for n, v in inputs.items()}


def features(family, tensors, inputs, training=False):
    """The pooled features of the pristine network with other `tensors` in it."""
    backbone = tiny_backbone(family).double()
    backbone.network.train(training)
    own = {f"network.{name}": tensor for name, tensor in tensors.items()}
    return functional_call(backbone, own, (inputs,))


def layer_name(name, inner):
    """The layer of the pristine network that a parameter inside its replacement belongs to."""
    return name.split(f".{inner}.")[0].removeprefix("backbone.network.")
