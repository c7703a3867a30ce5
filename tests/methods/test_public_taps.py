"""A block under TAPS computes what public code does, and steps along the same gradients."""

import pytest
import torch
from public_code import CLOSE, OneBlock, adapted_by, named, norm_names, read, write
from registered import ENTRIES, mini_options
from timm.models import resnet
from torch import nn

from suite.method import ParameterSet
from suite.method.load import load_method
from suite.registry.schema import Recipe

CONVS = ("conv1", "conv2", "downsample.0")
NAMES = {}
for conv, norm in zip(CONVS, ("bn1", "bn2", "downsample.1"), strict=True):
    NAMES[f"{conv}.residual"] = f"{conv}.transforms.by_task.a.change"
    NAMES[f"{conv}.indicator"] = f"{conv}.transforms.by_task.a.gate_score"
    NAMES[f"{conv}.weight"] = f"{conv}.weight"
    NAMES |= norm_names(norm, f"{norm}.by_task.a")


def block_under_taps(inputs):
    """The model, and the block's tensors by the names of the public code."""
    down = nn.Sequential(nn.Conv2d(3, 4, 1, 2, bias=False), nn.BatchNorm2d(4))
    network = OneBlock(resnet.BasicBlock(3, 4, 2, down), 4)
    model = adapted_by("taps", "resnet", network)
    own = named(model.backbone.network.layer1[0], NAMES)
    start = [own[f"{conv}.indicator"].item() for conv in CONVS]
    assert not any(own[f"{conv}.residual"].any() for conv in CONVS)
    shaped = {n: v.squeeze() if n.endswith("indicator") else v for n, v in inputs["state"].items()}
    write(own, shaped)
    return model, own, start


def test_a_block_with_open_and_closed_gates_is_that_of_the_public_code():
    inputs, outputs = read("taps")
    model, _, start = block_under_taps(inputs)
    assert start == pytest.approx(3 * [outputs["start"]])
    network = model.backbone.network
    model.eval()
    torch.testing.assert_close(network(inputs["x"]).detach(), outputs["evaluated"], **CLOSE)
    model.train()
    torch.testing.assert_close(network(inputs["x"]).detach(), outputs["trained"], **CLOSE)


def test_a_step_is_along_the_gradients_of_the_public_code():
    inputs, outputs = read("taps")
    model, own, _ = block_under_taps(inputs)
    changes = {"score_learning_rate": 1.0, "gate_warmup": 1.0}
    method = load_method(ENTRIES["taps"], mini_options(ENTRIES["taps"]) | changes)
    before = {name: tensor.detach().clone() for name, tensor in own.items()}
    # A step at a rate of one is the negative gradient.
    recipe = Recipe(optimizer="sgd", momentum=0.0, learning_rate=1.0, clip_norm=None)
    parameters = ParameterSet(p for p in model.parameters() if p.requires_grad)
    stepper = method.stepper(model, parameters, recipe)
    model.train()
    y = model.backbone.network(inputs["x"])
    (y * inputs["direction"]).sum().backward()
    stepper.prepare(1.0, 0.5)
    stepper.step(None)
    after = named(model.backbone.network.layer1[0], NAMES)
    for name, gradient in outputs["gradients"].items():
        if name.endswith(("residual", "indicator")):
            taken = before[name] - after[name].detach()
            torch.testing.assert_close(taken, gradient.reshape(taken.shape), msg=name, **CLOSE)
        else:
            torch.testing.assert_close(after[name].grad, gradient, msg=name, **CLOSE)
