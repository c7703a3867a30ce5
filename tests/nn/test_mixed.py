"""Batches that mix tasks: the answers and gradients of each task are those of its own batches."""

import pytest
import torch
from tiny import tiny_backbone, tiny_batch, tiny_tasks

from suite.method import adapted, context_of
from suite.nn.gated import GatedLinear, gated, gates
from suite.nn.hypernetwork import GeneratedAdapter, SharedHyperNetworks

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
    for index, site in enumerate(sites):
        backbone.insert(site, GeneratedAdapter(network, index))
    model = adapted(backbone, tasks, context)
    model.hypernetwork = network
    randomise(model)
    return model.eval()


MODELS = [(gated_model, family) for family in FAMILIES]
MODELS += [(generated_model, family) for family in FAMILIES[1:]]


def mixed_batch(family, tasks):
    """(inputs, task of every row): rows of `tasks` in turn, like cards."""
    batches = [tiny_batch(family, task, seed=TASKS.index(task)) for task in tasks]
    rows = [
        {name: values[row] for name, values in batch.inputs.items()}
        for row in range(len(batches[0].targets))
        for batch in batches
    ]
    inputs = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return inputs, list(tasks) * len(batches[0].targets)


@pytest.mark.parametrize("tasks", [TASKS, ("c", "a"), ("b",)], ids="".join)
@pytest.mark.parametrize(("build", "family"), MODELS)
def test_every_row_is_answered_as_in_a_batch_of_its_own_task(build, family, tasks):
    model = build(family)
    inputs, names = mixed_batch(family, tasks)
    length = 4 if family == "t5" else 0
    together = model.predict_mixed(inputs, names, length)
    for task in tasks:
        alone = [row for row, name in enumerate(names) if name == task]
        own = {name: values[alone] for name, values in inputs.items()}
        expected = model.predict_mixed(own, [task] * len(alone), length)
        batch = tiny_batch(family, task, seed=TASKS.index(task))
        if family != "t5":
            torch.testing.assert_close(model.predict(batch).float(), expected)
        torch.testing.assert_close(together[alone], expected)


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


def test_closed_neighbours_share_one_copy_and_changes_are_seen():
    model = gated_model("vit")
    layer = next(module for module in model.modules() if isinstance(module, GatedLinear))
    for task, is_open in zip(TASKS, (False, False, True), strict=True):
        layer.residuals.by_task[task].set_open(is_open)
    x = torch.randn(6, layer.in_features)
    with torch.no_grad(), layer.residuals.context.mixed((2, 2, 2)):
        before = layer(x)
        assert len(layer.merged_weights._weights) == 2
        layer.residuals.by_task["a"].set_open(True)
        after = layer(x)
        assert len(layer.merged_weights._weights) == 3
    assert (before[:2] != after[:2]).any()
    torch.testing.assert_close(before[2:], after[2:])


def test_an_error_inside_a_mixed_batch_ends_it():
    context = gated_model("vit").context
    with pytest.raises(ZeroDivisionError), context.mixed((1, 1, 1)):
        raise ZeroDivisionError
    assert context.rows is None
