"""Methods whose tasks share one changed network: LiNeS and knowledge distillation."""

import copy

import pytest
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly

from suite.engine.delta import stored_tensors
from suite.method import ParameterSet
from suite.method.load import load_method
from suite.registry.schema import Recipe


def build(name, family, tasks=2, **changes):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    return method, method.adapt(tiny_backbone(family), tiny_tasks(family, tasks))


@pytest.mark.parametrize("family", ["vit", "t5"])
def test_a_merge_scales_the_sum_of_task_vectors_by_depth(family):
    method, model = build("lines", family, candidates=4)
    network = model.backbone.network
    first = {name: p.detach().clone() for name, p in network.named_parameters()}
    depths = {site.name: site.depth for site in model.backbone.sites if site.layer >= 0}
    last = max(depths.values())
    betas = iter([10.0, 40.0, 30.0, 20.0])

    merges = [phase for phase in method.phases(model) if phase.finish is not None]
    for amount, phase in zip((1.0, 2.0), merges, strict=True):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(amount)
        phase.finish(lambda: {"a": next(betas), "b": 0.0})

    assert method.facts(model) == {"beta": 0.5}
    for name, parameter in network.named_parameters():
        depth = depths.get(name.rpartition(".")[0], 0)
        factor = 0.5 + 0.5 * depth / last
        torch.testing.assert_close(parameter.detach(), first[name] + 3 * factor, msg=name)


def test_of_a_merge_running_statistics_are_the_mean_over_tasks():
    method, model = build("lines", "resnet", candidates=1)
    norm = model.backbone.network.layer3[0].bn2
    first = norm.running_mean.clone()
    amounts = iter([0.5, 1.5])
    for phase in method.phases(model):
        if phase.finish is not None:
            norm.running_mean.add_(next(amounts))
            phase.finish(lambda: {"a": 0.0, "b": 0.0})
    torch.testing.assert_close(norm.running_mean, first + 1.0)


def test_heads_learn_with_the_network_and_again_on_the_merged_one():
    method, model = build("lines", "bert")
    named = {p: name for name, p in model.named_parameters()}
    phases = method.phases(model)
    assert [phase.tasks for phase in phases] == [("a",), ("b",), ("a",), ("b",)]
    assert sum(phase.share for phase in phases) == pytest.approx(1)
    names = [{named[p] for p in phase.parameters} for phase in phases]
    heads = [{f"heads.by_task.{task}.{end}" for end in ("weight", "bias")} for task in "ab"]
    network = {f"backbone.network.{name}" for name, _ in model.backbone.network.named_parameters()}
    assert names == [network | heads[0], network | heads[1], *heads]


def test_a_student_starts_anew_and_learns_from_the_teacher_of_each_batch():
    method, model = build("kd_mtl", "vit")
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    *teachings, student = method.phases(model)
    assert [phase.tasks for phase in teachings] == [("a",), ("b",)]
    trained = {}
    for phase, amount in zip(teachings, (0.1, 0.2), strict=True):
        torch.manual_seed(round(10 * amount))
        with torch.no_grad():
            for parameter in phase.parameters:
                parameter.add_(amount * torch.randn_like(parameter))
        trained[phase.tasks[0]] = copy.deepcopy(model).eval()
        phase.finish(dict)
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())

    model.eval()
    for task in ("a", "b"):
        batch = tiny_batch("vit", task)
        model.loss(batch)
        with torch.no_grad():
            own, target = (m.backbone(batch.inputs) for m in (model, trained[task]))
            own = own / own.norm(dim=-1, keepdim=True)
            target = target / target.norm(dim=-1, keepdim=True)
        expected = method.distillation * (own - target).square().sum(-1).mean()
        torch.testing.assert_close(student.penalty(batch), expected)
        assert expected > 1e-3


def test_teachers_and_adaptors_are_not_stored():
    method, model = build("kd_mtl", "bert")
    train_briefly(model, method, "bert", steps=2)
    names = stored_tensors(model, method)
    assert {name.split(".")[0] for name in names} == {"backbone", "heads"}
    own = sum(tensor.numel() for name, tensor in names.items() if name.startswith("backbone"))
    assert own == model.backbone.parameter_count()


def test_adaptors_have_a_rate_of_their_own():
    method, model = build("kd_mtl", "resnet", adaptor_learning_rate=0.7)
    parameters = ParameterSet(model.parameters())
    groups = method.parameter_groups(model, parameters, Recipe(learning_rate=0.01))
    assert sum(len(group.parameters) for group in groups) == len(parameters)
    rates = {p: group.learning_rate for group in groups for p in group.parameters}
    assert {rates[p] for p in model.parts["adaptors"].parameters()} == {0.7}
    assert {rates[p] for p in model.backbone.parameters()} == {0.01}
