"""Batches that mix tasks: what each task gets and learns there is what its own batches give."""

import pytest
import torch
from tiny import tiny_backbone, tiny_batch, tiny_tasks

from suite.method import adapted, context_of
from suite.nn.gated import gated, gates
from suite.nn.hypernetwork import GeneratedAdapter, SharedHyperNetworks
from suite.nn.task_weights import TaskLinear

TASKS = ("a", "b", "c")
FAMILIES = ("resnet", "vit", "bert", "t5")


def randomise(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def gated_model(family):
    """Every layer gated, norms per task; a third of the gates of every task open."""
    backbone, tasks = tiny_backbone(family), tiny_tasks(family, len(TASKS))
    context = context_of(tasks)
    for site in backbone.of_kind("conv", "linear", "patch_embedding"):
        backbone.replace(site, gated(backbone.module(site), context, 0.2, 0.1))
    backbone.specialise(backbone.of_kind("norm"), context)
    model = adapted(backbone, tasks, context)
    randomise(model)
    for number, task in enumerate(TASKS):
        for index, gate in enumerate(gates(model, task)):
            gate.set_open(index % 3 == number)
    return model.eval()


def generated_model(family):
    backbone, tasks = tiny_backbone(family), tiny_tasks(family, len(TASKS))
    context = context_of(tasks)
    sites = backbone.of_kind("attention", "feed_forward")
    network = SharedHyperNetworks(context, sites, 4, 5, 6, 7)
    network.follow(backbone)
    for site, generated in zip(sites, network.outputs(), strict=True):
        backbone.insert(site, GeneratedAdapter(generated))
    model = adapted(backbone, tasks, context)
    model.parts["hypernetwork"] = network
    randomise(model)
    return model.eval()


MODELS = [(gated_model, family) for family in FAMILIES]
MODELS += [(generated_model, family) for family in FAMILIES[1:]]


@pytest.mark.parametrize("family", ["vit", "bert"])
def test_features_of_a_mixed_batch_are_those_of_separate_batches(family):
    model = gated_model(family)
    batches = [tiny_batch(family, task) for task in TASKS]
    inputs = {k: torch.cat([b.inputs[k] for b in batches]) for k in batches[0].inputs}
    sizes = [len(batch.targets) for batch in batches]
    with torch.no_grad():
        with model.context.mixed(sizes):
            together = model.backbone(inputs).split(sizes)
        for task, batch, features in zip(TASKS, batches, together, strict=True):
            model.context.activate(task)
            torch.testing.assert_close(features, model.backbone(batch.inputs))


@pytest.mark.parametrize("whole", [False, True], ids=["frozen", "whole network"])
@pytest.mark.parametrize(("build", "family"), [MODELS[1], MODELS[2], MODELS[-2], MODELS[-1]])
def test_a_mixed_loss_weighs_every_row_alike(build, family, whole):
    model = build(family)
    if whole:
        model.requires_grad_(True)
    sizes = {"c": 3, "a": 6}
    batches = [tiny_batch(family, task, size, seed=size) for task, size in sizes.items()]
    loss = model.mixed_loss(tuple(batches), label_smoothing=0.1)
    loss.backward()
    together = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    expected = sum(
        len(batch.targets) / 9 * model.loss(batch, label_smoothing=0.1) for batch in batches
    )
    expected.backward()
    torch.testing.assert_close(loss, expected)
    alone = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, rtol=1e-4, atol=1e-5)
    assert all(together[name].count_nonzero() == 0 for name in together.keys() - alone.keys())


@pytest.mark.parametrize(("build", "family"), [MODELS[1], MODELS[2], MODELS[-2]])
def test_gradients_of_a_mixed_batch_are_the_sum_of_those_of_separate_batches(build, family):
    model = build(family)
    batches = [tiny_batch(family, task) for task in TASKS]
    sizes = [len(batch.targets) for batch in batches]
    inputs = {k: torch.cat([b.inputs[k] for b in batches]) for k in batches[0].inputs}
    with model.context.mixed(sizes):
        model.backbone(inputs).square().sum().backward()
    together = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for task, batch in zip(TASKS, batches, strict=True):
        model.context.activate(task)
        model.backbone(batch.inputs).square().sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(together[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_tied_layers_serve_a_mixed_batch_in_one_pass():
    model = gated_model("vit")
    layer = next(module for module in model.modules() if isinstance(module, TaskLinear))
    layer.transforms.tie()
    x = torch.randn(6, layer.in_features)
    with torch.no_grad():
        expected = layer(x)
        with layer.transforms.context.mixed((2, 0, 4)):
            assert torch.equal(layer(x), expected)


def test_an_error_inside_a_mixed_batch_ends_it():
    context = gated_model("vit").context
    with pytest.raises(ZeroDivisionError), context.mixed((1, 1, 1)):
        raise ZeroDivisionError
    assert context.counts is None
