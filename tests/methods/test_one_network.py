"""Methods whose tasks share one changed network: fine-tuning, LiNeS, knowledge distillation."""

import copy
import re

import pytest
import torch
from public_code import CLOSE, read
from registered import ENTRIES, mini_options
from timm.models.vision_transformer import VisionTransformer
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly, wrap

from suite.engine.delta import stored_tensors
from suite.method import ParameterSet
from suite.method.load import load_method
from suite.nn.distillation import feature_distance
from suite.registry.schema import Recipe


def build(name, family, tasks=2, **changes):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    return method, method.adapt(tiny_backbone(family), tiny_tasks(family, tasks))


def merged(model, method, validations):
    """The network's first state, after a merge of two trainings that added 1 and 2 to all of it."""
    first = {name: p.detach().clone() for name, p in model.backbone.network.named_parameters()}
    merges = [phase for phase in method.phases(model) if phase.finish is not None]
    for amount, phase in zip((1.0, 2.0), merges, strict=True):
        with torch.no_grad():
            for parameter in model.backbone.network.parameters():
                parameter.add_(amount)
        phase.finish(lambda *tasks: next(validations))
    return first


def test_a_merge_scales_the_sum_of_task_vectors_by_depth():
    """Through the encoder and on through the decoder; what lies at no site as its block."""
    method, model = build("lines", "t5", candidates=4)
    alone = [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]
    validations = iter(alone + [{"a": score, "b": 0.0} for score in (10.0, 40.0, 30.0, 20.0)])
    first = merged(model, method, validations)
    assert method.facts(model) == {"beta": 0.5}
    for name, parameter in model.backbone.network.named_parameters():
        stack, block = re.match(r"(\w+)\.block\.(\d)|", name).groups()
        depth = 0 if stack is None else int(block) + 2 * (stack == "decoder")
        factor = 0.5 + 0.5 * depth / 3
        torch.testing.assert_close(parameter.detach(), first[name] + 3 * factor, msg=name)


def test_a_merge_is_scaled_and_chosen_as_in_the_public_code():
    inputs, outputs = read("lines")
    network = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=8, depth=3, num_heads=2, num_classes=0, init_values=0.1
    )
    method = load_method(ENTRIES["lines"], mini_options(ENTRIES["lines"]) | {"candidates": 4})
    model = method.adapt(wrap("vit", network), tiny_tasks("vit", 2))
    alone, scores = inputs["alone"], inputs["scores"]
    validations = [{**alone, "b": 0.0}, {**alone, "a": 0.0}]
    validations += [dict(zip("ab", own.tolist(), strict=True)) for own in scores.values()]
    first = merged(model, method, iter(validations))
    assert method.facts(model)["beta"] == float(outputs["best"]) == inputs["beta"]
    factors = outputs["factors"]
    assert any("ls1" in name for name in factors)
    assert factors.keys() == first.keys()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), first[name] + 3 * factors[name], msg=name)


def test_a_task_that_was_not_learned_alone_counts_with_its_score():
    method, model = build("lines", "bert", candidates=2)
    alone = [{"a": 50.0, "b": 0.0}, {"a": 0.0, "b": -2.0}]
    merged(model, method, iter([*alone, {"a": 25.0, "b": 0.1}, {"a": 20.0, "b": 0.3}]))
    assert method.facts(model) == {"beta": 1.0}


def test_of_a_merge_running_statistics_are_the_mean_over_tasks():
    method, model = build("lines", "resnet", candidates=1)
    norm = model.backbone.network.layer3[0].bn2
    first = norm.running_mean.clone()
    amounts = iter([0.5, 1.5])
    for phase in method.phases(model):
        if phase.finish is not None:
            norm.running_mean.add_(next(amounts))
            phase.finish(lambda *tasks: {"a": 0.0, "b": 0.0})
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


def test_the_distance_to_a_teacher_is_that_of_the_public_code():
    inputs, outputs = read("kd_mtl")
    student, teacher = inputs["student"].requires_grad_(), inputs["teacher"]
    distance = feature_distance(student.movedim(1, -1), teacher.movedim(1, -1))
    torch.testing.assert_close(distance.item(), outputs["distance"], **CLOSE)
    distance.backward()
    torch.testing.assert_close(student.grad, outputs["gradient"], **CLOSE)


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


def weighted(family, **changes):
    return build("shared_finetuning", family, weighting="chebyshev", **changes)


@pytest.mark.parametrize("mixed", [False, True])
def test_in_training_the_largest_loss_is_bounded(mixed):
    _, model = weighted("vit", violation_penalty=0.1)
    a, b = (tiny_batch("vit", task) for task in "ab")
    first, second = model.eval().loss(a).item(), model.loss(b).item()
    weighting = model.train().parts["weighting"]
    bound = weighting.bound.item()
    with torch.no_grad():
        loss = model.mixed_loss((a, b)) if mixed else model.loss(a)
    shared = 0.5e-4 * (first + second if mixed else first)
    constraints = [0.5 * first + shared - bound, (0.5 * second if mixed else 0) + shared - bound]
    penalty = 0.05 * sum(value**2 for value in constraints)
    assert loss.item() == pytest.approx(bound + sum(constraints) / 2 + penalty, rel=1e-5)


def test_multipliers_are_updated_in_training_and_not_stored():
    method, model = weighted("resnet", violation_penalty=0.01, rounds=4)
    train_briefly(model, method, "resnet", steps=8)
    weighting = model.parts["weighting"]
    assert weighting.done == 3
    assert weighting.penalty == pytest.approx(0.01 * 2**3)
    assert (weighting.multipliers - 0.5).abs().min() > 1e-3
    plain = build("shared_finetuning", "resnet")[1]
    assert stored_tensors(model, method).keys() == stored_tensors(plain, method).keys()
