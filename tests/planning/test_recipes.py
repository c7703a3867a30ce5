"""The recipes of the registry: what is the track's is the same for every method on a board."""

import pytest

from suite.planning.recipes import resolve_recipe
from suite.planning.request import Request
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
        recipe = resolve_recipe(request, track, method, backbone).model_dump()
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
        recipe = resolve_recipe(request, track, REGISTRY.methods[name], backbone)
        assert (recipe.schedule, recipe.label_smoothing, recipe.clip_norm) == ("constant", 0.1, 1.0)
