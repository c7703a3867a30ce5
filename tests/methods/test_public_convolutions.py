"""Adapters of convolutions compute what public code does, in whole blocks, and start as there."""

import pytest
import torch
from public_code import (
    CLOSE,
    OneBlock,
    adapted_by,
    assert_gradients,
    named,
    norm_names,
    read,
    write,
)
from timm.models import resnet
from torch import nn

from suite.nn.convolution import ConvAdapter, SeriesAdapter, pointwise


class Bottleneck(resnet.Bottleneck):
    expansion = 2


def shortcut(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))


def assert_passes(model, inputs, outputs):
    """Outputs in evaluation and then in training mode, with gradients of the latter."""
    network = model.backbone.network
    model.eval()
    torch.testing.assert_close(network(inputs["x"]).detach(), outputs["evaluated"], **CLOSE)
    model.train()
    trained = network(inputs["x"])
    torch.testing.assert_close(trained.detach(), outputs["trained"], **CLOSE)
    (trained * inputs["direction"]).sum().backward()


def test_a_bottleneck_with_a_conv_adapter_is_that_of_the_public_code():
    inputs, outputs = read("conv_adapter")
    block = Bottleneck(4, 4, 2, shortcut(4, 8))
    convs = {f"{name}.weight": f"{name}.weight" for name in ("conv1", "conv2", "downsample.0")}
    norms = {}
    for name in ("bn1", "bn2", "bn3", "downsample.1"):
        norms |= norm_names(name, name)
    adapter = {
        f"tuning_module.{public}.{end}": f"conv3.0.module.{name}.{end}"
        for public, name in (("conv1", "down"), ("conv2", "up"))
        for end in ("weight", "bias")
    } | {"tuning_module.se": "conv3.0.module.scale"}
    state = inputs["state"]
    state["tuning_module.se"] = state["tuning_module.se"][0]
    plain = {**convs, **norms, "conv3.weight": "conv3.weight"}
    write(named(block, plain), {name: state[name] for name in plain})
    model = adapted_by("conv_adapter", "resnet", OneBlock(block, 8), reduction=2)
    own = named(model.backbone.network.layer1[0], adapter)
    write(own, {name: state[name] for name in adapter})

    assert_passes(model, inputs, outputs)
    outputs["gradients"]["tuning_module.se"] = outputs["gradients"]["tuning_module.se"][0]
    assert_gradients(own, outputs["gradients"])
    after = named(model.backbone.network.layer1[0], norms)
    for name, statistics in outputs["statistics"].items():
        torch.testing.assert_close(after[name], statistics, msg=name, **CLOSE)
    trained = sum(p.numel() for p in model.backbone.parameters() if p.requires_grad)
    assert trained == sum(gradient.numel() for gradient in outputs["gradients"].values())


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_a_conv_adapter_starts_as_in_the_public_code(channels):
    _, outputs = read("conv_adapter")
    torch.manual_seed(0)
    adapter = ConvAdapter(nn.Conv2d(channels, channels, 3), channels // 8)
    expected = outputs["start"][str(channels)]
    assert adapter.down.weight.std().item() == pytest.approx(expected["down"], rel=0.1)
    assert adapter.up.weight.std().item() == pytest.approx(expected["up"], rel=0.1)
    assert not adapter.down.bias.any()
    assert not adapter.up.bias.any()
    assert (adapter.scale == 1).all()


RESIDUAL = {
    "parallel": {
        "conv.weight": "conv1.0.weight",
        "parallel_conv.0.conv.weight": "conv1.1.module.weight",
        **norm_names("bns.0", "bn1"),
    },
    "series": {
        "conv.weight": "conv1.0.weight",
        **norm_names("bns.0.0.conv.0", "conv1.1.norm"),
        "bns.0.0.conv.1.weight": "conv1.1.conv.weight",
        **norm_names("bns.0.1", "bn1"),
    },
}


class OneConvolution(nn.Module):
    num_features = 6

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)

    def forward(self, x):
        return self.bn1(self.conv1(x))


@pytest.mark.parametrize("placement", ["parallel", "series"])
def test_a_convolution_with_a_residual_adapter_is_that_of_the_public_code(placement):
    given, expected = read("residual_adapters")
    inputs, outputs = given[placement], expected[placement]
    model = adapted_by("residual_adapters", "resnet", OneConvolution(), placement=placement)
    own = named(model.backbone.network, RESIDUAL[placement])
    write(own, inputs["state"])
    assert_passes(model, inputs, outputs)
    assert_gradients(own, outputs["gradients"])
    trained = {name for name, tensor in own.items() if tensor.requires_grad}
    assert trained == outputs["gradients"].keys()


@pytest.mark.parametrize("placement", ["parallel", "series"])
def test_residual_adapters_start_as_in_the_public_code(placement):
    _, outputs = read("residual_adapters")
    torch.manual_seed(0)
    for width, deviation in outputs[placement]["start"].items():
        conv = nn.Conv2d(int(width), int(width), 3)
        own = pointwise(conv) if placement == "parallel" else SeriesAdapter(int(width)).conv
        # The stem's has but 96 weights.
        assert own.weight.std().item() == pytest.approx(deviation, rel=0.2)


def rcm_names(normalised):
    names = {}
    for number in (1, 2):
        names |= norm_names(f"bn{number}.bnorm.a", f"bn{number}.by_task.a")
        inner = f"conv{number}.transforms.by_task.a"
        names[f"conv{number}.Ws.weight"] = f"{inner}.bank"
        names[f"conv{number}.Wt.a.weight" + ("_v" if normalised else "")] = f"{inner}.mixture"
        if normalised:
            names[f"conv{number}.Wt.a.weight_g"] = f"{inner}.lengths"
    names |= norm_names("downsample.bnorm.bnorm.a", "downsample.1.by_task.a")
    return {**names, "downsample.conv.conv.a.weight": "downsample.0.by_task.a.weight"}


def as_matrices(values):
    """The public code's kernels in the shapes of filter bank, mixture and lengths."""
    shaped = dict(values)
    for name, value in values.items():
        if ".Ws." in name or ".Wt." in name:
            shaped[name] = value.flatten() if name.endswith("_g") else value.flatten(1)
    return shaped


@pytest.mark.parametrize("form", ["plain", "nff"])
def test_a_block_of_rcm_is_that_of_the_public_code(form):
    given, expected = read("rcm")
    inputs, outputs = given[form], expected[form]
    network = OneBlock(resnet.BasicBlock(3, 4, 2, shortcut(3, 4)), 4)
    model = adapted_by("rcm", "resnet", network, normalised=form == "nff")
    own = named(model.backbone.network.layer1[0], rcm_names(form == "nff"))
    write(own, as_matrices(inputs["state"]))
    assert_passes(model, inputs, outputs)
    assert_gradients(own, as_matrices(outputs["gradients"]))
    trained = sum(p.numel() for p in model.backbone.parameters() if p.requires_grad)
    assert trained == outputs["trained_parameters"]
