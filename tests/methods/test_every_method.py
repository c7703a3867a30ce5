"""What holds for every method of the registry on every family it supports."""

import copy
from dataclasses import dataclass

import pytest
import torch
from registered import ENTRIES, PAIRS, mini_options
from safetensors.torch import load_file
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly

from suite.engine.delta import (
    changed_tensors,
    load_delta,
    make_rounding,
    rounded,
    save_delta,
    stored_tensors,
)
from suite.engine.ledger import closed_form, count, parameters
from suite.method import Method
from suite.method.load import load_method
from suite.registry.schema import MethodEntry, Store

JOINT_PAIRS = [(name, family) for name, family in PAIRS if ENTRIES[name].regime == "joint"]


@dataclass
class Trained:
    entry: MethodEntry
    method: Method
    family: str
    tasks: tuple
    model: torch.nn.Module


@pytest.fixture(params=PAIRS, ids="-".join, scope="module")
def trained(request):
    name, family = request.param
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry))
    tasks = tiny_tasks(family, 2 if entry.regime == "joint" else 1)
    torch.manual_seed(1)
    model = method.adapt(tiny_backbone(family), tasks)
    # In ten steps the statistics of a batch norm are still half the old ones.
    train_briefly(model, method, family, steps=20)
    return Trained(entry, method, family, tasks, model)


def outputs(trained, model):
    """Losses and predictions of every task."""
    with torch.no_grad():
        batches = [tiny_batch(trained.family, task.name, seed=99) for task in trained.tasks]
        return [(model.loss(batch), model.predict(batch)) for batch in batches]


def assert_same(first, second):
    for (loss, predictions), (other_loss, other_predictions) in zip(first, second, strict=True):
        assert torch.equal(loss, other_loss)
        assert torch.equal(predictions, other_predictions)


def test_training_learns(trained):
    torch.manual_seed(1)
    untrained = trained.method.adapt(tiny_backbone(trained.family), trained.tasks).eval()
    batches = [tiny_batch(trained.family, task.name, 16) for task in trained.tasks]
    with torch.no_grad():
        before = sum(untrained.loss(batch) for batch in batches)
        after = sum(trained.model.loss(batch) for batch in batches)
    assert after < before


def test_the_saved_delta_restores_the_model_under_another_seed(trained, tmp_path):
    path = tmp_path / "delta.safetensors"
    save_delta(path, trained.model, trained.method, trained.entry.regime)
    torch.manual_seed(2)
    restored = trained.method.adapt(tiny_backbone(trained.family), trained.tasks)
    load_delta(path, restored, trained.method)
    assert_same(outputs(trained, trained.model), outputs(trained, restored.eval()))


def test_the_closed_form_cost_is_what_the_file_holds(trained, tmp_path):
    path = tmp_path / "delta.safetensors"
    save_delta(path, trained.model, trained.method, trained.entry.regime)
    ledger = count(path)
    expected = closed_form(
        trained.entry.cost,
        tiny_backbone(trained.family),
        len(trained.tasks),
        mini_options(trained.entry),
        trained.method.facts(trained.model),
    )
    assert (ledger.shared_bits, sum(ledger.task_bits.values())) == tuple(32 * n for n in expected)


@pytest.mark.parametrize("store", [Store.INT4, Store.BINARY])
def test_a_rounded_file_gives_back_the_rounded_model(trained, store, tmp_path):
    fresh = []
    for seed in (2, 3):
        torch.manual_seed(seed)
        fresh.append(trained.method.adapt(tiny_backbone(trained.family), trained.tasks).eval())
    rounding = make_rounding(store, *fresh)
    exact, path = tmp_path / "exact.safetensors", tmp_path / "rounded.safetensors"
    regime = trained.entry.regime
    save_delta(exact, trained.model, trained.method, regime)
    save_delta(path, trained.model, trained.method, regime, rounding=rounding)
    before = outputs(trained, trained.model)
    load_delta(path, fresh[0], trained.method)
    with rounded(trained.model, trained.method, regime, rounding) as model:
        assert_same(outputs(trained, model), outputs(trained, fresh[0]))
    assert_same(before, outputs(trained, trained.model))
    # Closed forms count parameters, whatever the precision.
    assert parameters(path) == parameters(exact)
    assert count(path).tensor_bytes < 0.55 * count(exact).tensor_bytes + bitmaps(exact)


def bitmaps(path):
    """Bytes of masks, which stay as they are."""
    return sum(t.numel() for t in load_file(path).values() if t.dtype == torch.uint8)


def test_what_is_not_stored_of_the_backbone_has_not_changed(trained):
    pristine = tiny_backbone(trained.family)
    assert changed_tensors(trained.model, pristine, trained.method) == []


def test_a_deep_copy_is_independent(trained):
    clone = copy.deepcopy(trained.model)
    before = outputs(trained, trained.model)
    assert_same(before, outputs(trained, clone))
    with torch.no_grad():
        for parameter in clone.parameters():
            parameter.zero_()
    assert_same(before, outputs(trained, trained.model))
    clone.eval()
    loss = outputs(trained, clone)[0][0]
    assert not torch.equal(loss, before[0][0])


@pytest.mark.parametrize("trained", JOINT_PAIRS, ids="-".join, indirect=True)
def test_one_task_does_not_touch_another(trained):
    model = copy.deepcopy(trained.model)
    before = outputs(trained, model)
    tensors = stored_tensors(model, trained.method)
    changed = [tensor for name, tensor in tensors.items() if ".by_task.b." in name]
    with torch.no_grad():
        for tensor in changed:
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape))
            else:
                tensor.bitwise_not_()
    after = outputs(trained, model.eval())
    assert_same(before[:1], after[:1])
    assert not changed or not torch.equal(before[1][0], after[1][0])


def test_reported_facts_are_those_the_yaml_explains(trained):
    reported = {name.split("@")[0] for name in trained.method.facts(trained.model)}
    assert reported == set(trained.entry.facts)
