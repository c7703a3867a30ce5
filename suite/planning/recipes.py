"""How a cell is trained: what the track, the method and the request say, in that order."""

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import fmean

from suite.planning.request import Request
from suite.registry.families import lineage
from suite.registry.schema import (
    MOST_STEPS,
    REQUESTED,
    BackboneEntry,
    Family,
    MethodEntry,
    Recipe,
    Recipes,
    Scale,
    TaskEntry,
    TrackEntry,
    on_grid,
)


def resolve_recipe(
    request: Request,
    track: TrackEntry,
    tasks: Sequence[TaskEntry],
    method: MethodEntry,
    backbone: BackboneEntry,
) -> Recipe:
    """The recipe of one cell, which trains on some of a track's tasks.

    The last wins: the track's default, the track's family, the tasks' own, the method's default,
    the method's family, what the method changes for this track and family with a source, the rate
    that a search found on this track and backbone or that of a trial, the command line. Steps that
    a budget gives are at least 1.
    A method's own default and family never set what is the track's (`TRACK_KEYS`): the registry
    refuses that.
    """
    values = _written(track.recipe, request.scale, backbone.family)
    values |= _of_tasks(tasks, request.scale, Recipe.model_validate(values))
    values |= _written(method.recipe, request.scale, backbone.family)
    exception = method.exception(request.scale, track.name, backbone.family)
    if exception is not None:
        values |= exception.written
        if "augmentation" in exception.written:
            values.pop("augmentations", None)
    found = method.found_rate(track.name, backbone.name)
    if request.trial is None and found is not None:
        values["learning_rate"] = found
    if request.trial is not None:
        values |= _of_trial(request.trial, track, method, backbone, Recipe.model_validate(values))
    if request.budget is not None:
        own = Recipe.model_validate(values).steps
        values["steps"] = min(max(round(own * request.budget), 1), MOST_STEPS)
    asked = {key: getattr(request, key) for key in REQUESTED}
    return Recipe.model_validate(
        values | {key: value for key, value in asked.items() if value is not None}
    )


def track_recipe(track: TrackEntry, scale: Scale, family: Family) -> Recipe:
    """What a track says for a family, before tasks, methods and the command line change it."""
    return Recipe.model_validate(_written(track.recipe, scale, family))


def _written(recipes: Recipes, scale: Scale, family: Family) -> dict[str, object]:
    changes = recipes.get(scale, {})
    values: dict[str, object] = {}
    # What is written for a family holds for its kinds as well, where nothing else is.
    for part in ("default", *reversed([*lineage(family)])):
        if part in changes:
            values |= changes[part].written
    return values


def _of_trial(
    place: int, track: TrackEntry, method: MethodEntry, backbone: BackboneEntry, recipe: Recipe
) -> Mapping[str, object]:
    """The rate at a place of the search's grid, and a third of the steps where the track says on
    which tasks rates are searched."""
    rates = method.trial_rates(backbone.scale, backbone.family)
    values: dict[str, object] = {"learning_rate": on_grid(rates, recipe.learning_rate, place)}
    if backbone.scale in track.search:
        values["steps"] = ceil(recipe.steps / 3)
    return values


def _of_tasks(tasks: Sequence[TaskEntry], scale: Scale, common: Recipe) -> Mapping[str, object]:
    """What tasks change of their track's recipe. A joint method takes as many steps as the methods
    that train on one task at a time take in all, and augments every task's images as they do."""
    own = [task.recipe.get(scale) for task in tasks]
    if not any(own):
        return {}
    steps = [each.steps if each and each.steps else common.steps for each in own]
    augmentations = {
        task.name: each.augmentation if each and each.augmentation else common.augmentation
        for task, each in zip(tasks, own, strict=True)
    }
    kinds = set(augmentations.values())
    differ = {"augmentations": augmentations} if len(kinds) > 1 else {"augmentation": kinds.pop()}
    return {"steps": round(fmean(steps)), **differ}


def changed_budget(recipe: Recipe, usual: Recipe) -> list[str]:
    """`KEY=VALUE` for every key that was requested in place of the recipe's own."""
    return [
        f"{key}={getattr(recipe, key)}"
        for key in REQUESTED
        if getattr(recipe, key) != getattr(usual, key)
    ]
