"""The committed leaderboards: regenerable, current, and with the recipes that searches found."""

import pytest
from committed import FOLDER

from suite.leaderboards import check
from suite.planning.recipes import resolve_recipe
from suite.planning.request import Request
from suite.registry import load
from suite.registry.schema import TRIALS
from suite.results.searches import read_searches


def test_recipes_have_the_rates_that_searches_found_best():
    registry = load()
    searches = read_searches(FOLDER).found
    assert searches
    for search in searches:
        method, backbone = registry.methods[search.method], registry.backbones[search.backbone]
        request = Request((search.method,), (search.track,), scale=search.scale)
        track = registry.tracks[search.track]
        recipe = resolve_recipe(request, track, registry.tasks_of(track), method, backbone)
        tried = {trial.learning_rate for trial in search.trials}
        # Without rates in its file a search began around the recipe's, which is now what it found.
        grid = set(method.trial_rates(search.scale, backbone.family))
        assert tried >= grid, search.file_name
        assert tried == grid or len(tried) >= TRIALS + bool(grid), search.file_name
        assert recipe.learning_rate == search.best.learning_rate, search.file_name


@pytest.mark.nightly
def test_the_pages_are_what_the_results_give():
    assert check(FOLDER, load()) == []
