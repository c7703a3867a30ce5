import numpy as np
import pytest
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly

from suite.data.batching import Batches
from suite.data.encode import Examples
from suite.engine.delta import load_delta, save_delta, stored_tensors
from suite.engine.loop import TaskBatches, train
from suite.method.load import load_method
from suite.nn.gated import GatedResidual, gates
from suite.registry.schema import Recipe


def build(name="taps", family="resnet", tasks=1, **changes):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    return method, method.adapt(tiny_backbone(family), tiny_tasks(family, tasks))


def test_an_overwhelming_penalty_leaves_norms_and_head():
    method, model = build(gate_penalty=1e4, gate_warmup=0.0, score_learning_rate=0.1)
    train_briefly(model, method, "resnet", learning_rate=0.1)
    assert method.facts(model) == {"gated_layers@a": 7, "open_layers@a": 0, "open_weights@a": 0}
    assert not [name for name in stored_tensors(model, method) if ".residuals." in name]


def test_without_penalty_every_layer_stays_open():
    method, model = build(gate_penalty=0.0, initial_score=0.5)
    train_briefly(model, method, "resnet")
    weights = sum(gate.delta.numel() for gate in gates(model, "a"))
    assert method.facts(model) == {
        "gated_layers@a": 7,
        "open_layers@a": 7,
        "open_weights@a": weights,
    }


def test_only_the_changes_of_open_layers_norms_and_head_are_stored():
    method, model = build()
    first, *others = gates(model, "a")
    for gate in others:
        gate.set_open(False)
    names = stored_tensors(model, method)
    assert [name for name in names if ".residuals." in name] == [
        "backbone.network.conv1.residuals.by_task.a.delta"
    ]
    assert torch.equal(names["backbone.network.conv1.residuals.by_task.a.delta"], first.delta)
    assert not [name for name in names if name.endswith("score")]
    assert "backbone.network.bn1.by_task.a.running_mean" in names


def test_scores_have_their_own_rate_and_no_weight_decay():
    method, model = build(score_learning_rate=0.7)
    parameters = [p for p in model.parameters() if p.requires_grad]
    recipe = Recipe(learning_rate=0.01, weight_decay=0.1)
    groups = method.parameter_groups(model, parameters, recipe)
    assert sum(len(group.parameters) for group in groups) == len(parameters)
    scores = {id(m.score) for m in model.modules() if isinstance(m, GatedResidual)}
    own = [group for group in groups if {id(p) for p in group.parameters} & scores]
    assert [(len(g.parameters), g.learning_rate, g.weight_decay) for g in own] == [(7, 0.7, 0.0)]


def test_the_penalty_is_the_mean_absolute_score_after_the_warm_up():
    method, model = build(gate_penalty=2.0, gate_warmup=0.25)
    assert method.penalty(model, 0.24) is None
    for index, gate in enumerate(gates(model, "a")):
        gate.score.data.fill_(-index)
    assert method.penalty(model, 0.25).item() == pytest.approx(2 * 3)


def test_the_output_layer_and_embeddings_of_t5_stay_frozen():
    _, model = build(family="t5")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name in trained if "shared" in name or "lm_head" in name]
    assert [name for name in trained if "EncDecAttention.q.residuals" in name]


def test_the_first_stage_is_shared_and_the_second_each_tasks_own():
    method, model = build("taps_joint", tasks=2)
    phases = method.phases(model)
    assert [phase.tasks for phase in phases] == [("a", "b"), ("a",), ("b",)]
    assert sum(phase.share for phase in phases) == pytest.approx(1)
    named = {id(p): name for name, p in model.named_parameters()}
    first, *second = ({named[id(p)] for p in phase.parameters} for phase in phases)
    assert "backbone.network.conv1.weight" in first
    assert "backbone.network.bn1.by_task.a.weight" in first
    assert "heads.by_task.b.weight" in first
    assert not [name for name in first if ".residuals." in name or "network.bn1.by_task.b" in name]
    for task, names in zip("ab", second, strict=True):
        assert f"backbone.network.conv1.residuals.by_task.{task}.delta" in names
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
    gates(model, "a")[0].score.data.fill_(5.0)
    recipe = Recipe(steps=12, batch_size=8, evaluations=4, learning_rate=0.01)
    train(model, method, {"a": tiny_data("a")}, recipe, seed=0, progress=lambda done, total: None)
    assert method.facts(model)["open_layers@a"] == 1
    first, *closed = gates(model, "a")
    assert first.delta.abs().max() > 0
    assert not [gate for gate in closed if gate.delta.any()]

    save_delta(tmp_path / "delta", model, method, "per_task")
    restored = method.adapt(tiny_backbone("resnet"), tiny_tasks("resnet", 1))
    load_delta(tmp_path / "delta", restored, method)
    batch = tiny_batch("resnet", "a")
    assert torch.equal(restored.eval().loss(batch), model.loss(batch))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_arena_trains_what_the_equation_says(optimizer):
    """With the stepper taken away, torch differentiates the gates themselves."""
    recipe = Recipe(
        optimizer=optimizer, steps=8, batch_size=8, evaluations=1, learning_rate=0.01, warmup=0.0
    )
    deltas = []
    for arena in (True, False):
        method, model = build(gate_warmup=0.2, score_learning_rate=0.02)
        if not arena:
            plain = type("AsWritten", (type(method),), {"stepper": lambda *arguments: None})
            method = plain(**vars(method))
        data = {"a": tiny_data("a")}
        train(model, method, data, recipe, seed=0, progress=lambda done, total: None)
        deltas.append([gate.delta for gate in gates(model, "a")])
        assert 0 < method.facts(model)["open_layers@a"] <= 7
    for ours, written in zip(*deltas, strict=True):
        # Eight steps magnify rounding, by a thousandth under some seeds.
        assert (ours - written).norm() <= 1e-2 * written.norm()
