import pytest
import torch
import torch.nn.functional as F
from torch import nn

from suite.backbones.parameters import ParameterSet
from suite.backbones.per_task import TaskContext
from suite.nn.gated import gated, gates
from suite.nn.gated_training import GateTraining, gate_stepper
from suite.registry.schema import Recipe

RECIPE = Recipe(learning_rate=0.01)
TRAINING = GateTraining(penalty=0.3, warmup=0.0, learning_rate=0.001)


def network(tasks=("a",)):
    torch.manual_seed(0)
    context = TaskContext(tasks)
    layers = [nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 4)]
    return nn.Sequential(
        *(
            gated(layer.requires_grad_(False), context, 0.15, 0.1)
            if isinstance(layer, nn.Linear)
            else layer
            for layer in layers
        )
    )


def trained_parameters(model):
    return ParameterSet(p for p in model.parameters() if p.requires_grad)


def make(model, training=TRAINING):
    stepper = gate_stepper(model, trained_parameters(model), training, RECIPE)
    assert stepper is not None
    return stepper


def step(model, stepper, progress=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(8, 6, generator=generator), torch.randn(8, 4, generator=generator)
    F.mse_loss(model(x), y).backward()
    stepper.prepare(1.0, progress)
    stepper.step(torch.tensor(0.0))
    return stepper.settle()


def outputs(model):
    with torch.no_grad():
        return model(torch.ones(3, 6))


def scores(model):
    return [gate.gate_score.item() for gate in gates(model, "a")]


def test_while_it_trains_the_network_computes_with_merged_weights():
    model = network()
    stepper = make(model)
    for seed in range(4):
        step(model, stepper, seed=seed)
    merged = outputs(model)
    stepper.close()
    assert all(gate.merged is None for gate in gates(model, "a"))
    assert torch.equal(outputs(model), merged)
    assert not torch.equal(merged, outputs(network()))


def test_the_penalty_sets_in_after_the_warm_up():
    training = GateTraining(penalty=1e3, warmup=0.5, learning_rate=0.2)
    model = network()
    stepper = make(model, training)
    # The first gradient of a score is zero, because its change is.
    step(model, stepper, progress=0.49)
    assert scores(model) == pytest.approx([0.15] * 3)
    step(model, stepper, progress=0.5)
    assert not [gate for gate in gates(model, "a") if gate.is_open]


def test_after_closing_all_tensors_are_the_models_own():
    model = network()
    stepper = make(model)
    step(model, stepper)
    stepper.close()
    pointers = {p.untyped_storage().data_ptr() for p in model.parameters()}
    assert len(pointers) == len(list(model.parameters()))


def test_locked_gates_stay_and_closed_layers_give_up_what_they_no_longer_need():
    training = GateTraining(penalty=0.3, warmup=0.0, learning_rate=0.001, lock_after=0.5)
    model = network()
    _, second, third = gates(model, "a")
    second.set_open(False)
    stepper = make(model, training)
    assert not step(model, stepper, progress=0.49)
    assert step(model, stepper, progress=0.5)
    assert second.change.numel() == 0
    kept = scores(model)
    before = third.change.clone()
    assert not step(model, stepper, progress=0.51)
    assert second.merged is not None and not second.merged.requires_grad
    assert scores(model) == kept
    assert not torch.equal(third.change, before)
    after = outputs(model)
    stepper.close()
    assert second.change.shape == model[2].weight.shape
    assert torch.equal(outputs(model), after)


def test_locking_goes_on_from_the_optimizers_state():
    """Where nothing closes, a locked network trains as one whose scores stand still."""
    still = GateTraining(penalty=0.0, warmup=0.0, learning_rate=0.0)
    models = [network(), network()]
    steppers = [make(models[0], still), make(models[1], still)]
    for seed in range(6):
        for model, stepper in zip(models, steppers, strict=True):
            step(model, stepper, seed=seed)
        if seed == 2:
            steppers[1].lock()
    free, locked = (gates(model, "a") for model in models)
    for one, other in zip(free, locked, strict=True):
        torch.testing.assert_close(one.change, other.change, rtol=1e-2, atol=1e-4)


def test_a_network_whose_gates_are_all_closed_can_be_locked():
    model = network()
    for gate in gates(model, "a"):
        gate.set_open(False)
    stepper = make(model)
    stepper.lock()
    stepper.prepare(1.0, 0.9)
    assert float(stepper.step(torch.tensor(4.0))) == pytest.approx(0.25)


def test_one_arena_serves_one_task():
    model = network(tasks=("a", "b"))
    with pytest.raises(ValueError, match="several tasks: a, b"):
        make(model)


def test_a_phase_that_trains_no_gates_needs_no_arena():
    model = network()
    assert gate_stepper(model, ParameterSet([model[0].weight]), TRAINING, RECIPE) is None
