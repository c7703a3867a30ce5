"""TAPS says something on a track only if a gate can close within the track's own budget."""

from functools import cache

import pytest
import torch
from networks import BUILDERS, meta_backbone
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.engine.optimizer import rate_factor
from suite.method import ParameterSet
from suite.method.load import load_method
from suite.nn.gated import gated, gates
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Scale

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


def unpushed(layers: int, method: str, recipe, steps: int, **options):
    """As many gates on one weight each, and what steps them for `steps` optimizer steps in a phase
    in which no task pushes them: whether they close, and whether that is noticed."""
    entry = REGISTRY.methods[method]
    taps = load_method(entry, {**default_options(entry, Scale.FULL), **options})
    context = TaskContext(("a",))
    layer = [nn.Linear(1, 1).requires_grad_(False) for _ in range(layers)]
    network = nn.Sequential(*(gated(each, context, 0.15, 0.1) for each in layer))
    stepper = taps.stepper(network, ParameterSet(network.parameters()), recipe)
    others = None if recipe.clip_norm is None else torch.tensor(0.0)
    for step in range(1, steps + 1):
        stepper.step(rate_factor(recipe, step, steps), (step - 1) / steps, others)
        if stepper.unpushed.closed:
            break
    stepper.close()
    found = gates(network, "a")
    assert {gate.could_close for gate in found} == {stepper.unpushed.closed}
    return [gate.is_open for gate in found]


@pytest.mark.parametrize("method", ["taps", "taps_joint"])
@pytest.mark.parametrize(("track", "backbone"), FULL)
def test_gates_close_within_the_budget_of_every_track(track, backbone, method):
    assert backbone in BUILDERS, f"{backbone} is a track's backbone: say how its network is built"
    asked = Request((method,), (track,), (backbone,), scale=Scale.FULL)
    recipes = {i.cell.recipe.model_dump_json(): i.cell.recipe for i in plan(asked, REGISTRY).planned}
    for recipe in recipes.values():
        options = default_options(REGISTRY.methods[method], Scale.FULL)
        steps = round(recipe.steps * (1 - options["first_stage"]))
        assert not any(unpushed(gated_layers(backbone), method, recipe, steps)), recipe


def test_a_budget_that_is_too_short_to_close_a_gate_is_noticed():
    asked = Request(("taps",), ("imagenet-to-sketch/cubs",), ("resnet50",), scale=Scale.FULL)
    recipe = plan(asked, REGISTRY).planned[0].cell.recipe
    assert all(unpushed(53, "taps", recipe, 100))
    assert all(unpushed(53, "taps", recipe, recipe.steps, score_learning_rate=1e-5))


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 7e-3), ("adamw", 1e-3)])
def test_scores_have_the_recipes_rate_with_sgd_and_their_own_with_adamw(optimizer, rate):
    asked = Request(("taps",), ("imagenet-to-sketch/cubs",), ("resnet50",), scale=Scale.FULL)
    recipe = plan(asked, REGISTRY).planned[0].cell.recipe
    recipe = recipe.model_copy(update={"optimizer": optimizer, "learning_rate": 7e-3})
    entry = REGISTRY.methods["taps"]
    taps = load_method(entry, default_options(entry, Scale.FULL))
    network = nn.Sequential(gated(nn.Linear(1, 1), TaskContext(("a",)), 0.15, 0.1))
    stepper = taps.stepper(network, ParameterSet(network.parameters()), recipe)
    assert stepper.training.learning_rate == rate
