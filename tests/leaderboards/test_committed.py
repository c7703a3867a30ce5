"""The committed miniature leaderboards: complete, regenerable, and able to tell methods apart."""

from pathlib import Path

import numpy as np
import pytest

from suite.leaderboards import check
from suite.planning.identity import recipe_digest
from suite.planning.plan import Request, resolve_recipe
from suite.registry import load
from suite.results.folder import read_results
from suite.results.searches import read_searches

FOLDER = Path(__file__).parents[2] / "leaderboards"
BACKBONES = ("resnet_mini", "densenet_mini", "vit_mini", "bert_mini", "t5_mini")


@pytest.fixture(scope="module")
def scores():
    """(backbone, method) -> task -> one score for each seed."""
    table = {}
    for result in read_results(FOLDER).values():
        if result.cell.scale == "mini" and result.status == "ok":
            tasks = table.setdefault((result.cell.backbone, result.cell.method), {})
            for score in result.scores:
                tasks.setdefault(score.task, []).append(score.score)
    return table


def mean(tasks):
    return np.mean([np.mean(seeds) for seeds in tasks.values()])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_full_finetuning_is_well_above_the_linear_probe(scores, backbone):
    full, probe = scores[backbone, "full_finetuning"], scores[backbone, "linear_probe"]
    assert all(len(seeds) == 3 for seeds in [*full.values(), *probe.values()])
    assert mean(full) >= mean(probe) + 8


@pytest.mark.parametrize("backbone", BACKBONES)
def test_no_task_is_at_chance_or_solved_by_the_probe(scores, backbone):
    registry = load()
    track = "visual-domains" if backbone in BACKBONES[:3] else "glue"
    for name, seeds in scores[backbone, "full_finetuning"].items():
        task = registry.tasks[f"{track}/{name}"]
        correlation = {"matthews", "pearson"} & set(task.metrics)
        chance = 0 if correlation else 100 / len(task.output.labels)
        assert np.mean(seeds) > chance + 8, name
        assert np.mean(scores[backbone, "linear_probe"][name]) <= 98, name


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", ["adapters", "taps"])
def test_parameter_efficient_methods_lie_between_or_above(scores, backbone, method):
    assert mean(scores[backbone, method]) > mean(scores[backbone, "linear_probe"])


def test_new_recipe_keys_leave_the_identity_of_older_results():
    results = [r for r in read_results(FOLDER).values() if r.recipe is not None]
    assert results
    assert all(recipe_digest(result.recipe) == result.identity.recipe for result in results)


def test_recipes_have_the_rates_that_searches_found_best():
    registry = load()
    searches = read_searches(FOLDER)
    assert searches
    for search in searches:
        method, backbone = registry.methods[search.method], registry.backbones[search.backbone]
        request = Request((search.method,), (search.track,), scale=search.scale)
        recipe = resolve_recipe(request, registry.tracks[search.track], method, backbone)
        tried = tuple(trial.learning_rate for trial in search.trials)
        assert tried == method.trial_rates(search.scale, backbone.family), search.file_name
        assert recipe.learning_rate == search.best.learning_rate, search.file_name


def test_the_pages_are_what_the_results_give():
    assert check(FOLDER, load()) == []
