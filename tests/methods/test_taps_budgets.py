"""TAPS says something on a track only if a gate can close within the track's own budget."""

from functools import cache

import pytest
from networks import BUILDERS, meta_backbone
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.engine.optimizer import rate_factor
from suite.method import ParameterSet
from suite.method.load import load_method
from suite.nn.gated import gated
from suite.nn.gated_training import GateStepper
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale

REGISTRY = load()
FULL = [
    (track.name, backbone)
    for track in REGISTRY.tracks.values()
    for backbone in track.backbones.get(Scale.FULL, ())
]


@cache
def gated_layers(backbone: str) -> int:
    sites = meta_backbone(backbone).of_kind("conv", "linear", "patch_embedding")
    return len(sites)


def stepper_of(layers: int, method: str, recipe: Recipe, **options) -> GateStepper:
    """Steps as many gates, on one weight each, as the method and the recipe say."""
    entry = REGISTRY.methods[method]
    taps = load_method(entry, {**default_options(entry, Scale.FULL), **options})
    context = TaskContext(("a",))
    layer = [nn.Linear(1, 1).requires_grad_(False) for _ in range(layers)]
    network = nn.Sequential(*(gated(each, context, 0.15, 0.1) for each in layer))
    stepper = taps.stepper(network, ParameterSet(network.parameters()), recipe)
    assert stepper is not None
    return stepper


def closes(stepper: GateStepper, steps: int) -> bool:
    """Whether a gate that no task pushes closes within a phase of `steps` optimizer steps."""
    for step in range(1, steps + 1):
        factor = rate_factor(stepper.recipe, step, steps)
        stepper.unpushed.step(stepper.rates_at(factor, (step - 1) / steps))
        if stepper.unpushed.closed:
            return True
    return False


@pytest.mark.parametrize("method", ["taps", "taps_joint"])
@pytest.mark.parametrize(("track", "backbone"), FULL)
def test_gates_close_within_the_budget_of_every_track(track, backbone, method):
    assert backbone in BUILDERS, f"{backbone} is a track's backbone: say how its network is built"
    asked = Request((method,), (track,), (backbone,), scale=Scale.FULL)
    planned = plan(asked, REGISTRY).planned
    # The one with the fewest steps: a gate has the least time there.
    recipe = min((item.cell.recipe for item in planned), key=lambda recipe: recipe.steps)
    joint = default_options(REGISTRY.methods[method], Scale.FULL)["first_stage"]
    steps = round(recipe.steps * (1 - joint))
    assert closes(stepper_of(gated_layers(backbone), method, recipe), steps), recipe


def recipe_of_cubs(**changes) -> Recipe:
    asked = Request(("taps",), ("imagenet-to-sketch/cubs",), ("resnet50",), scale=Scale.FULL)
    recipe = plan(asked, REGISTRY).planned[0].cell.recipe
    return recipe.model_copy(update=changes)


def test_a_budget_that_is_too_short_to_close_a_gate_is_noticed():
    recipe = recipe_of_cubs()
    assert not closes(stepper_of(53, "taps", recipe), 100)
    slow = stepper_of(53, "taps", recipe, score_learning_rate=1e-5)
    assert not closes(slow, recipe.steps)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_gate_that_is_watched_moves_like_those_of_layers_without_gradients(optimizer):
    recipe = recipe_of_cubs(optimizer=optimizer, learning_rate=1e-2)
    stepper = stepper_of(19, "taps", recipe)
    found = []
    for step in range(1, 201):
        stepper.prepare(rate_factor(recipe, step, 200), (step - 1) / 200)
        stepper.step(None)
        found.append([gate.is_open for gate in stepper.gates])
        assert found[-1] == [not stepper.unpushed.closed] * 19
    assert found[0][0]
    assert not found[-1][0]
    stepper.close()
    assert all(gate.could_close for gate in stepper.gates)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 7e-3), ("adamw", 2e-3)])
def test_scores_have_the_recipes_rate_with_sgd_and_their_own_with_adamw(optimizer, rate):
    recipe = recipe_of_cubs(optimizer=optimizer, learning_rate=7e-3)
    assert stepper_of(1, "taps", recipe).training.learning_rate == rate
