"""Merging: each method's merge of given networks is that of the public code, and masks switch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.method.load import load_method
from suite.nn.bits import pack, unpack
from suite.nn.masked_changes import MaskedChanges
from suite.nn.merging import FineTunings
from suite.nn.mixture import Mixture, entropy

PUBLIC = Path(__file__).parent / "public"
TASKS = ("task_0", "task_1", "task_2")


def read(name):
    """A file's inputs and outputs."""
    content = json.loads((PUBLIC / f"{name}.json").read_text())
    return content["inputs"], content["outputs"]


def network_of(weights):
    """A network of these weights, by dotted name."""
    network = nn.Module()
    for name, values in weights.items():
        owner, _, end = name.rpartition(".")
        if not hasattr(network, owner):
            network.add_module(owner, nn.Module())
        network.get_submodule(owner).register_parameter(end, nn.Parameter(torch.tensor(values)))
    return network


class Checkpoints:
    """A model without a head, "trained" by writing the public inputs into it."""

    def __init__(self, scaled=None):
        self.states = json.loads((PUBLIC / "checkpoints.json").read_text())
        self.model = nn.Module()
        self.model.backbone = nn.Module()
        self.network = network_of(self.states["first"])
        self.model.backbone.network = self.network
        self.model.tasks = dict.fromkeys(TASKS)
        self.model.measured = {}
        self.model.parts = nn.ModuleDict()
        self.context = TaskContext(TASKS)
        self.owners = [
            (module, end, f"{name}.{end}")
            for name, module in self.network.named_modules()
            for end, _ in module.named_parameters(recurse=False)
        ]
        self.parameters = {full: getattr(module, end) for module, end, full in self.owners}
        if scaled is not None:
            self.model.parts["changes"] = MaskedChanges(self.network, self.context, scaled)

    def write(self, state):
        with torch.no_grad():
            for name, values in self.states[state].items():
                self.parameters[name].copy_(torch.tensor(values))

    def merge(self, method, validate):
        for phase in method.phases(self.model):
            self.write(phase.tasks[0])
            phase.finish(validate)

    def weights(self, task=TASKS[0]):
        """What the network computes with for a task."""
        self.context.activate(task)
        return {full: getattr(module, end).detach() for module, end, full in self.owners}


def assert_equal(weights, expected):
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(weights[name], torch.tensor(values), msg=name)


def method_of(name, **changes):
    return load_method(ENTRIES[name], mini_options(ENTRIES[name]) | changes)


def validation_of(scores, alone=None):
    """Scores of a merged network in the order of calls; `alone` are those of each task's own."""
    calls = iter(scores)

    def validate(*tasks):
        return {task: (alone or {}).get(task, 1.0) for task in tasks} if tasks else next(calls)

    return validate


def preferring(number):
    """Validation scores that are best at the call of this number, from 1."""
    return validation_of(dict.fromkeys(TASKS, -abs(n - number)) for n in range(1, 1000))


@pytest.mark.parametrize(("name", "fact"), [("task_arithmetic", "alpha"), ("ties", "scale")])
def test_a_factor_is_chosen_by_scores_measured_by_those_of_each_tasks_own_network(name, fact):
    """The plain mean prefers the first factor: 91 in all, and then 83."""
    alone = dict(zip(TASKS, (90.0, 2.0, 0.0), strict=True))
    scores = [dict(zip(TASKS, own, strict=True)) for own in ((90.0, 1.0, 0.0), (81.0, 2.0, 0.0))]
    bench = Checkpoints()
    method = method_of(name, candidates=2)
    bench.merge(method, validation_of(scores, alone))
    assert method.facts(bench.model) == {fact: {"alpha": 1.0, "scale": 3.0}[fact]}


def test_task_arithmetic_adds_the_scaled_sum_as_the_public_code_does():
    inputs, outputs = read("task_arithmetic")
    bench = Checkpoints()
    bench.merge(method_of("task_arithmetic", candidates=20), preferring(6))
    assert bench.model.measured["alpha"] == pytest.approx(inputs["scale"])
    assert_equal(bench.weights(), outputs)


@pytest.mark.parametrize("percent", ["20", "50"])
def test_ties_trims_elects_and_merges_as_the_public_code_does(percent):
    inputs, outputs = read("ties")
    bench = Checkpoints()
    bench.merge(method_of("ties", keep=int(percent) / 100, candidates=15), preferring(3))
    assert bench.model.measured["scale"] == pytest.approx(inputs["scale"])
    assert_equal(bench.weights(), outputs[percent])


def test_emr_elects_masks_and_rescales_as_the_public_code_does():
    _, outputs = read("emr_merging")
    bench = Checkpoints(scaled=True)
    bench.merge(method_of("emr_merging"), dict)
    scales = torch.stack([bench.model.parts["changes"].of(task).scale.detach() for task in TASKS])
    torch.testing.assert_close(scales, torch.tensor(outputs["rescalers"]))
    for task in TASKS:
        assert_equal(bench.weights(task), outputs[task])


@pytest.mark.parametrize(("call", "factor"), [(1, "0.2"), (4, "0.5")])
def test_tall_masks_localise_a_task_as_the_public_code_does(call, factor):
    _, outputs = read("tall_masks")
    bench = Checkpoints(scaled=False)
    method = method_of("tall_masks")
    calls = iter(range(1, 1000))

    def validate(*tasks):
        number = next(calls)
        return {task: float(number == call) for task in TASKS}

    bench.merge(method, validate)
    assert bench.model.measured == {f"factor@{task}": float(factor) for task in TASKS}
    for task in TASKS:
        assert_equal(bench.weights(task), outputs[factor][task])


def test_every_task_has_the_tall_mask_that_validates_best_for_it():
    _, outputs = read("tall_masks")
    bench = Checkpoints(scaled=False)
    calls = iter(range(1, 1000))
    wanted = {"task_0": 1, "task_1": 4, "task_2": 1}

    def validate(*tasks):
        number = next(calls)
        return {task: float(number == call) for task, call in wanted.items()}

    bench.merge(method_of("tall_masks"), validate)
    for task, factor in zip(TASKS, ["0.2", "0.5", "0.2"], strict=True):
        assert_equal(bench.weights(task), outputs[factor][task])


def test_coefficients_follow_the_entropy_as_in_the_public_code():
    inputs, outputs = read("adamerging")
    tensors = {name: torch.tensor(values) for name, values in inputs.items() if "x_" in name}
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    heads = {task: nn.Linear(3, 4) for task in "ab"}
    for module, name in [(network, "first"), *((heads[task], f"head_{task}") for task in "ab")]:
        module.load_state_dict({end: torch.tensor(own) for end, own in inputs[name].items()})
    names = [name for name, _ in network.named_parameters()]
    vectors = torch.stack(
        [
            torch.cat([torch.tensor(inputs[f"vector_{task}"][name]).flatten() for name in names])
            for task in "ab"
        ]
    )
    tuned = FineTunings(network.parameters())
    coefficients = nn.Parameter(torch.full((4, 2), 0.3))
    mixture = Mixture(network, coefficients)
    mixture.show(vectors, tuned.sizes)
    optimizer = torch.optim.Adam([coefficients], lr=0.05)
    losses = []
    for _ in outputs["losses"]:
        loss = sum(entropy(heads[task](network(tensors[f"x_{task}"]))) for task in "ab")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(outputs["losses"], rel=1e-4)
    torch.testing.assert_close(
        coefficients.detach().clamp(0, 1), torch.tensor(outputs["lambdas"]), rtol=1e-3, atol=1e-4
    )
    features = network(tensors["x_a"])
    torch.testing.assert_close(
        features.detach(), torch.tensor(outputs["features_a"]), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("family", ["resnet", "bert", "t5"])
def test_coefficients_learn_without_answers_and_end_in_the_network(family):
    method = method_of("adamerging", head_share=0.0)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone(family), tiny_tasks(family, 2))
    *trainings, mixing = method.phases(model)
    parameters = list(model.backbone.network.parameters())
    for number, phase in enumerate(trainings):
        torch.manual_seed(number)
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(0.1 * torch.randn_like(parameter))
        phase.finish(dict)
    mixing.prepare()
    batch = tiny_batch(family, "b")
    model.eval()
    loss = model.loss(batch)
    torch.testing.assert_close(loss, model.loss(batch.unanswered()))
    torch.testing.assert_close(loss, model.mixed_loss((batch,)))
    loss.backward()
    assert model.coefficients.grad.count_nonzero() > len(parameters)
    with torch.no_grad():
        model.coefficients -= 0.1 * model.coefficients.grad.sign()
        shown = model.loss(batch)
        assert shown < loss
        mixing.finish(dict)
        model.unlabelled = True
        torch.testing.assert_close(model.loss(batch), shown)
    for before, after in zip(parameters, model.backbone.network.parameters(), strict=True):
        assert before is after


def test_while_networks_are_fine_tuned_parameters_are_used_as_they_are():
    bench = Checkpoints(scaled=True)
    for module, end, full in bench.owners:
        assert getattr(module, end) is bench.parameters[full]


@pytest.mark.parametrize("family", ["resnet", "vit", "bert", "t5"])
@pytest.mark.parametrize("name", ["emr_merging", "tall_masks"])
def test_rows_of_several_tasks_are_seen_as_in_batches_of_their_own(name, family):
    method = method_of(name)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone(family), tiny_tasks(family, 3))
    train_briefly(model, method, family, steps=6)
    batches = [tiny_batch(family, task, size) for task, size in {"c": 3, "a": 6, "b": 5}.items()]
    with torch.no_grad():
        losses = torch.stack([model.loss(batch) for batch in batches])
        mixed = model.mixed_loss(tuple(batches))
    torch.testing.assert_close(mixed, losses @ torch.tensor([3.0, 6.0, 5.0]) / 14)
    assert len({round(float(loss), 4) for loss in losses}) == 3


@pytest.mark.parametrize("count", [1, 8, 21])
def test_bits_are_packed_as_numpy_packs_them(count):
    mask = torch.rand(count, generator=torch.Generator().manual_seed(count)) > 0.5
    bits = pack(mask)
    np.testing.assert_array_equal(bits.numpy(), np.packbits(mask.numpy(), bitorder="little"))
    for start in range(count):
        torch.testing.assert_close(unpack(bits, count - start, start), mask[start:])
