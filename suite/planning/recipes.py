"""How a cell is trained: what the track, the method and the request say, in that order."""

from suite.planning.request import Request
from suite.registry.schema import BUDGET, BackboneEntry, MethodEntry, Recipe, TrackEntry


def resolve_recipe(
    request: Request, track: TrackEntry, method: MethodEntry, backbone: BackboneEntry
) -> Recipe:
    """The recipe of a method's cells on one track and backbone.

    The last wins: the track's default, the track's family, the method's default, the method's
    family, what the method changes for this track and family with a source, a trial's learning
    rate, the command line. A method's own default and family never set what is the track's
    (`TRACK_KEYS`): the registry refuses that.
    """
    values: dict[str, object] = {}
    for recipes in (track.recipe, method.recipe):
        changes = recipes.get(request.scale, {})
        for part in ("default", backbone.family):
            if part in changes:
                values |= changes[part].written
    exception = method.exception(request.scale, track.name, backbone.family)
    if exception is not None:
        values |= exception.written
    if request.trial is not None:
        rates = method.trial_rates(request.scale, backbone.family)
        values["learning_rate"] = rates[request.trial]
    asked = {"steps": request.steps, "batch_size": request.batch_size}
    return Recipe.model_validate(
        values | {key: value for key, value in asked.items() if value is not None}
    )


def changed_budget(recipe: Recipe, usual: Recipe) -> list[str]:
    """`KEY=VALUE` for every key of the budget that was requested in place of the recipe's own."""
    return [
        f"{key}={getattr(recipe, key)}"
        for key in BUDGET
        if getattr(recipe, key) != getattr(usual, key)
    ]
