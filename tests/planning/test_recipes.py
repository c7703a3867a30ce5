"""The recipes of the registry: what is the track's is the same for every method on a board."""

from dataclasses import replace

import pytest

from suite.errors import UserError
from suite.planning.recipes import resolve_recipe
from suite.planning.request import Request
from suite.planning.request import request as make_request
from suite.registry import Registry, load
from suite.registry.schema import TRACK_KEYS, BackboneEntry, Scale, TrackEntry

REGISTRY = load()


def boards(registry: Registry) -> list[tuple[TrackEntry, BackboneEntry]]:
    """Every track with every backbone that it can be run on, its own or another."""
    return [
        (track, backbone)
        for track in registry.tracks.values()
        for backbone in registry.backbones.values()
        if backbone.scale in track.backbones and backbone.modality == track.modality
    ]


@pytest.mark.parametrize(
    ("track", "backbone"),
    [pytest.param(*pair, id=f"{pair[0].name}-{pair[1].name}") for pair in boards(REGISTRY)],
)
def test_what_is_the_tracks_is_equal_for_all_methods_unless_declared(track, backbone):
    found = {}
    for method in REGISTRY.methods.values():
        if backbone.family in method.unsupported:
            continue
        request = Request((method.name,), (track.name,), scale=backbone.scale)
        # Tasks may have recipes of their own, the same for every method.
        tasks = REGISTRY.tasks_of(track)[:1]
        recipe = resolve_recipe(request, track, tasks, method, backbone).model_dump()
        exception = method.exception(backbone.scale, track.name, backbone.family)
        declared = exception.written if exception else {}
        for key in TRACK_KEYS:
            if key not in declared:
                found.setdefault(key, {}).setdefault(recipe[key], []).append(method.name)
    assert {key: values for key, values in found.items() if len(values) > 1} == {}


def test_t5_on_glue_trains_as_in_the_hyperformer_paper_whatever_the_method():
    track, backbone = REGISTRY.tracks["glue"], REGISTRY.backbones["t5_base"]
    for name in ("hyperformer", "hyperformer_pp", "adapters", "full_finetuning", "taps"):
        request = Request((name,), ("glue",), scale=Scale.FULL)
        method, tasks = REGISTRY.methods[name], REGISTRY.tasks_of(track)
        recipe = resolve_recipe(request, track, tasks, method, backbone)
        assert (recipe.schedule, recipe.label_smoothing, recipe.clip_norm) == ("constant", 0.1, 1.0)


def test_imagenet_to_sketch_has_the_lengths_and_augmentation_of_taps_public_code():
    track, backbone = REGISTRY.tracks["imagenet-to-sketch"], REGISTRY.backbones["resnet50"]
    tasks = REGISTRY.tasks_of(track)

    def recipe(name, *tasks, **asked):
        request = Request((name,), (track.name,), scale=Scale.FULL, **asked)
        return resolve_recipe(request, track, tasks, REGISTRY.methods[name], backbone)

    own = {task.name: recipe("taps", task) for task in tasks}
    assert {name: (each.steps, each.augmentation) for name, each in own.items()} == {
        "cubs": (5828, "flip"),
        "cars": (7905, "flip"),
        "flowers": (1984, "crop_flip"),
        "wikiart": (40827, "crop_flip"),
        "sketches": (15500, "crop_flip"),
    }
    joint = recipe("taps_joint", *tasks)
    assert joint.steps == round(sum(each.steps for each in own.values()) / 5)
    for name, each in own.items():
        assert joint.augmentation_of(name) == each.augmentation_of(name)
    assert {recipe("taps", task, steps=9).steps for task in tasks} == {9}


@pytest.mark.parametrize(("budget", "steps"), [(0.25, 25), (4, 400), (1, 100), (1e-9, 1)])
def test_a_budget_multiplies_the_steps_of_each_recipe(budget, steps):
    own = Request(("lora",), ("glue",))
    assert _steps(own) == 100
    assert _steps(replace(own, budget=budget)) == steps


def _steps(request):
    track, backbone = REGISTRY.tracks["glue"], REGISTRY.backbones["bert_mini"]
    tasks = REGISTRY.tasks_of(track)
    return resolve_recipe(request, track, tasks, REGISTRY.methods["lora"], backbone).steps


@pytest.mark.parametrize("budget", [0, -1, "nan", "much", 1e9])
def test_a_budget_is_a_positive_number(budget):
    with pytest.raises(UserError, match="--budget: must be a number above 0, at most 1,000"):
        make_request("lora", "glue", budget=budget)


def test_steps_and_a_budget_contradict_each_other():
    with pytest.raises(UserError, match="--steps and --budget both say how long to train"):
        make_request("lora", "glue", steps=5, budget=0.5)
