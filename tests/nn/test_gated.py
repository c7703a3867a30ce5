import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from tiny import tiny_backbone, wrap
from torch import nn

from suite.backbones.parameters import ParameterSet
from suite.backbones.per_task import TaskContext
from suite.nn.gated import gated
from suite.nn.gated_training import GateTraining, gate_stepper
from suite.nn.task_weights import TaskConv2d, TaskLinear
from suite.registry.schema import Recipe

LAYERS = {
    "linear": (lambda: nn.Linear(5, 7), (3, 4, 5)),
    "linear without bias": (lambda: nn.Linear(5, 7, bias=False), (4, 5)),
    "conv": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9, 9)),
    "reflecting conv": (
        lambda: nn.Conv2d(4, 6, 3, padding=1, bias=False, padding_mode="reflect"),
        (2, 4, 5, 5),
    ),
}


@pytest.fixture(params=LAYERS)
def case(request):
    torch.manual_seed(0)
    make, shape = LAYERS[request.param]
    layer = make().double().requires_grad_(False)
    return layer, torch.randn(shape, dtype=torch.float64)


def make_gated(layer, score=0.15, tasks=("a",)):
    context = TaskContext(tasks)
    return gated(layer, context, score, threshold=0.1), context


def change_of(layer, task="a"):
    return layer.transforms.by_task[task]


def test_starts_as_the_layer_it_replaces(case):
    layer, x = case
    assert torch.equal(make_gated(layer)[0](x), layer(x))


def test_keeps_the_frozen_weight_and_what_networks_ask_of_a_layer(case):
    layer, _ = case
    wrapped, _ = make_gated(layer)
    assert wrapped.weight is layer.weight
    assert wrapped.bias is layer.bias
    assert isinstance(wrapped, type(layer))
    assert wrapped.extra_repr() == layer.extra_repr()
    assert [name for name, p in wrapped.named_parameters() if p.requires_grad] == [
        "transforms.by_task.a.change",
        "transforms.by_task.a.gate_score",
    ]


@pytest.mark.parametrize("score", [0.15, 0.1, 0.05, -1.0])
def test_a_step_follows_the_gradients_of_the_paper_open_and_closed(case, score):
    """With plain SGD at a rate of one, a step is the negative gradient."""
    layer, x = case
    wrapped, _ = make_gated(layer, score)
    gate = change_of(wrapped)
    # 0.1 must count as reached, in the precision of the threshold itself.
    gate.gate_score.data = torch.tensor(score, dtype=torch.float64)
    is_open = score >= 0.1
    nn.init.normal_(gate.change)
    change = gate.change.detach().clone()
    weight = (layer.weight + is_open * change).requires_grad_()

    output = torch.func.functional_call(layer, {"weight": weight}, x)
    target = torch.randn_like(output)
    (gradient,) = torch.autograd.grad(F.mse_loss(output, target), weight)
    recipe = Recipe(optimizer="sgd", momentum=0.0, learning_rate=1.0, clip_norm=None)
    training = GateTraining(penalty=0.0, warmup=0.0, learning_rate=1.0)
    stepper = gate_stepper(wrapped, ParameterSet(gate.parameters()), training, recipe)
    assert torch.equal(wrapped(x), output)
    F.mse_loss(wrapped(x), target).backward()
    stepper.prepare(1.0, 0.5)
    stepper.step(None)

    assert score - gate.gate_score.item() == pytest.approx(float((gradient * change).sum()))
    torch.testing.assert_close(change - gate.change.detach(), gradient * is_open)
    assert layer.weight.grad is None


def test_a_closed_layer_ignores_its_change(case):
    layer, x = case
    wrapped, _ = make_gated(layer, score=0.09)
    nn.init.normal_(change_of(wrapped).change)
    assert torch.equal(wrapped(x), layer(x))


def test_every_task_has_its_own_change(case):
    layer, x = case
    wrapped, context = make_gated(layer, tasks=("a", "b"))
    nn.init.normal_(change_of(wrapped, "b").change)
    assert torch.equal(wrapped(x), layer(x))
    context.activate("b")
    assert not torch.equal(wrapped(x), layer(x))


def gated_weights(family, network):
    """(layers, weights) that TAPS gates."""
    backbone = wrap(family, network)
    sites = backbone.of_kind("conv", "linear", "patch_embedding")
    return len(sites), sum(backbone.module(site).weight.numel() for site in sites)


def torchvision_network(name, classifier):
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
    setattr(network, classifier, nn.Identity())
    network.num_features = 0
    return network


@pytest.mark.parametrize(
    ("family", "name", "classifier", "layers", "share"),
    [
        ("resnet", "resnet34", "fc", 36, 0.9992),
        ("resnet", "resnet50", "fc", 53, 0.9977),
        ("densenet", "densenet121", "classifier", 120, 0.9880),
    ],
)
def test_the_gated_layers_of_a_network_are_those_of_the_paper(
    family, name, classifier, layers, share
):
    network = torchvision_network(name, classifier)
    count, weights = gated_weights(family, network)
    assert count == layers
    assert round(weights / sum(p.numel() for p in network.parameters()), 4) == share


def test_a_vit_has_49_gated_layers():
    with torch.device("meta"):
        network = timm.create_model("vit_small_patch16_224", num_classes=0)
    count, weights = gated_weights("vit", network)
    assert count == 49
    assert round(weights / sum(p.numel() for p in network.parameters()), 4) == 0.9937


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_the_form_follows_the_layer(family):
    backbone = tiny_backbone(family)
    for site in backbone.of_kind("conv", "linear"):
        wrapped, _ = make_gated(backbone.module(site))
        assert isinstance(wrapped, TaskConv2d if site.kind == "conv" else TaskLinear)
