import numpy as np
import pytest
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly

from suite.data.batching import Batches
from suite.data.encode import Examples
from suite.engine.delta import load_delta, save_delta, stored_tensors
from suite.engine.loop import train
from suite.engine.optimizer import make_optimizer
from suite.engine.training_data import TaskBatches
from suite.method import ParameterSet
from suite.method.load import load_method
from suite.nn.gated import gates
from suite.registry.schema import Recipe


def build(name="taps", family="resnet", tasks=1, **changes):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    return method, method.adapt(tiny_backbone(family), tiny_tasks(family, tasks))


def test_an_overwhelming_penalty_leaves_norms_and_head():
    method, model = build(gate_penalty=1e4, gate_warmup=0.0, score_learning_rate=0.1)
    train_briefly(model, method, "resnet", learning_rate=0.1)
    assert method.facts(model) == {
        "gated_layers@a": 7,
        "closable_layers@a": 7,
        "open_layers@a": 0,
        "open_weights@a": 0,
    }
    assert not [name for name in stored_tensors(model, method) if ".transforms." in name]


def test_without_penalty_every_layer_stays_open():
    method, model = build(gate_penalty=0.0, initial_score=0.5)
    train_briefly(model, method, "resnet")
    weights = sum(gate.change.numel() for gate in gates(model, "a"))
    assert method.facts(model) == {
        "gated_layers@a": 7,
        "closable_layers@a": 0,
        "open_layers@a": 7,
        "open_weights@a": weights,
    }


def test_only_the_changes_of_open_layers_norms_and_head_are_stored():
    method, model = build()
    first, *others = gates(model, "a")
    for gate in others:
        gate.set_open(False)
    names = stored_tensors(model, method)
    assert [name for name in names if ".transforms." in name] == [
        "backbone.network.conv1.transforms.by_task.a.change"
    ]
    assert torch.equal(names["backbone.network.conv1.transforms.by_task.a.change"], first.change)
    assert not [name for name in names if name.endswith("gate_score")]
    assert "backbone.network.bn1.by_task.a.running_mean" in names


def test_the_penalty_is_the_mean_absolute_score_after_the_warm_up():
    """Where no gradient arrives, a step of plain SGD shows the penalty's own: scores have a rate of
    their own and no weight decay."""
    method, model = build(gate_penalty=2.0, gate_warmup=0.25, score_learning_rate=0.7)
    first, *others = gates(model, "a")
    first.gate_score.data.fill_(-1.0)
    recipe = Recipe(
        optimizer="sgd", momentum=0.0, learning_rate=0.01, weight_decay=0.1, clip_norm=None
    )
    parameters = ParameterSet(p for p in model.parameters() if p.requires_grad)
    optimizer = make_optimizer(method, model, parameters, recipe)
    before = torch.stack([gate.gate_score.detach().clone() for gate in gates(model, "a")])
    optimizer.step(factor=0.5, progress=0.24)
    assert [gate.gate_score.item() for gate in gates(model, "a")] == before.tolist()
    optimizer.step(factor=0.5, progress=0.25)
    after = torch.stack([gate.gate_score.detach() for gate in gates(model, "a")])
    step = 0.5 * 0.7 * 2.0 / (1 + len(others))
    torch.testing.assert_close(after, before - step * before.sign())


def test_the_output_layer_and_embeddings_of_t5_stay_frozen():
    _, model = build(family="t5")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name in trained if "shared" in name or "lm_head" in name]
    assert [name for name in trained if "EncDecAttention.q.transforms" in name]


def test_the_first_stage_is_shared_and_the_second_each_tasks_own():
    method, model = build("taps_joint", tasks=2)
    phases = method.phases(model)
    assert [phase.tasks for phase in phases] == [("a", "b"), ("a",), ("b",)]
    assert sum(phase.share for phase in phases) == pytest.approx(1)
    named = {p: name for name, p in model.named_parameters()}
    first, *second = ({named[p] for p in phase.parameters} for phase in phases)
    assert "backbone.network.conv1.weight" in first
    assert "backbone.network.bn1.by_task.a.weight" in first
    assert "heads.by_task.b.weight" in first
    assert not [name for name in first if ".transforms." in name or "network.bn1.by_task.b" in name]
    for task, names in zip("ab", second, strict=True):
        assert f"backbone.network.conv1.transforms.by_task.{task}.change" in names
        assert all(f".by_task.{task}." in name for name in names)


def test_stage_two_starts_from_the_shared_norms():
    method, model = build("taps_joint", tasks=2)
    first, second, _ = method.phases(model)
    norm = model.backbone.network.bn1
    first.prepare()
    with torch.no_grad():
        norm.by_task["a"].weight.add_(1)
        norm.by_task["a"].running_mean.add_(1)
    second.prepare()
    assert torch.equal(norm.by_task["b"].weight, norm.by_task["a"].weight)
    assert torch.equal(norm.by_task["b"].running_mean, norm.by_task["a"].running_mean)
    assert norm.by_task["b"] is not norm.by_task["a"]


def test_joint_facts_are_reported_for_every_task():
    method, model = build("taps_joint", tasks=2)
    gates(model, "b")[0].set_open(False)
    facts = method.facts(model)
    assert facts["open_layers@a"] == 7
    assert facts["open_layers@b"] == 6


def tiny_data(task):
    """Random images whose class is their brightest colour, as training sees them."""
    generator = torch.Generator().manual_seed(ord(task))
    targets = torch.arange(24) % 3
    image = torch.randint(0, 128, (24, 3, 16, 16), generator=generator, dtype=torch.uint8)
    image[torch.arange(24), targets] += 127
    examples = Examples({"image": image}, targets, None, np.ones(24, int))
    batches = Batches(task, examples, tiny_backbone("resnet").entry)
    return TaskBatches(batches, batches)


def test_training_runs_both_stages_and_the_file_restores_them(tmp_path):
    method, model = build("taps_joint", tasks=2)
    frozen = model.backbone.network.conv1.weight.detach().clone()
    data = {task: tiny_data(task) for task in "ab"}
    recipe = Recipe(steps=6, batch_size=8, evaluations=1, learning_rate=0.01)
    training = train(model, method, data, recipe, seed=0, progress=lambda done, total: None)
    assert training.steps == 12
    norm = model.backbone.network.bn1
    assert norm.leader is None
    assert not torch.equal(norm.by_task["a"].weight, norm.by_task["b"].weight)
    assert not torch.equal(model.backbone.network.conv1.weight, frozen)

    save_delta(tmp_path / "delta", model, method, "joint")
    torch.manual_seed(7)
    restored = method.adapt(tiny_backbone("resnet"), tiny_tasks("resnet", 2))
    load_delta(tmp_path / "delta", restored, method)
    for task in "ab":
        batch = tiny_batch("resnet", task)
        assert torch.equal(restored.eval().loss(batch), model.loss(batch))


def test_training_goes_on_with_locked_gates_and_the_file_restores_them(tmp_path):
    changes = {"lock_after": 0.5, "gate_penalty": 300.0, "gate_warmup": 0.0}
    method, model = build(**changes, score_learning_rate=0.02)
    # The first layer is far from the threshold; all others close before the gates are locked.
    gates(model, "a")[0].gate_score.data.fill_(5.0)
    recipe = Recipe(steps=12, batch_size=8, evaluations=4, learning_rate=0.01)
    train(model, method, {"a": tiny_data("a")}, recipe, seed=0, progress=lambda done, total: None)
    assert method.facts(model)["open_layers@a"] == 1
    first, *closed = gates(model, "a")
    assert first.change.abs().max() > 0
    assert not [gate for gate in closed if gate.change.any()]

    save_delta(tmp_path / "delta", model, method, "per_task")
    restored = method.adapt(tiny_backbone("resnet"), tiny_tasks("resnet", 1))
    load_delta(tmp_path / "delta", restored, method)
    batch = tiny_batch("resnet", "a")
    assert torch.equal(restored.eval().loss(batch), model.loss(batch))
