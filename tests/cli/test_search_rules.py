"""All methods are searched by one rule, whatever they score; no training is needed to see that."""

import json
import math
import shutil

import pytest

from suite.registry.schema import TRIALS
from suite.results.margins import margin_of
from suite.results.records import Result, TaskScore
from suite.results.searches import EXTENSIONS, Search

GRID = "tuning: {mini: {bert: [1e-3, 2e-3, 4e-3, 8e-3]}}\n"


@pytest.fixture
def tune(call, folder, monkeypatch):
    """Run `tune` for methods whose validation score falls off from the rate that is `best`, and
    below it not if they do nothing there."""
    for name in ("one", "together"):
        path = folder / "methods" / f"{name}.yaml"
        path.write_text(path.read_text() + GRID)

    def run(*words, best=2e-3, idle_below=False):
        def execute(made, registry, settings):
            for item in made.with_action("run"):
                rate = item.cell.recipe.learning_rate
                value = 90 - abs(math.log(max(rate, best) / best if idle_below else rate / best))
                scores = [
                    TaskScore(
                        task=task, metrics={}, score=0, validation_score=value,
                        predictions=(0,), targets=(0,),
                    )
                    for task in item.cell.key.tasks
                ]  # fmt: skip
                Result(
                    cell=item.cell.key,
                    identity=item.cell.identity,
                    recipe=item.cell.recipe,
                    options=dict(item.cell.options),
                    status="ok",
                    scores=tuple(scores),
                ).write(settings.out / "results")

        monkeypatch.setattr("suite.engine.search.execute", execute)
        code, out, err = call("tune", "-q", "--json", *words)
        return (code, json.loads(out), err) if out else (code, None, err)

    return run


def rates(search):
    return [trial.learning_rate for trial in search.trials]


@pytest.mark.parametrize(
    ("best", "tried", "at_edge"),
    [
        (2e-3, [1e-3, 2e-3, 4e-3, 8e-3], False),
        (8e-3, [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2], False),
        (3.2e-2, [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2], False),
        (1.0, [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2, 0.128], True),
        (5e-4, [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3], False),
        (1e-9, [6.25e-5, 1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3], True),
    ],
)
def test_a_search_goes_on_while_its_best_rate_is_the_last_one_tried(tune, best, tried, at_edge):
    code, found, err = tune("one", "together", "-t", "toy", best=best)
    one, together = map(Search.model_validate, found)
    assert rates(one) == rates(together) == pytest.approx(tried, rel=0.02)
    assert one.best.learning_rate == min(rates(one), key=lambda rate: abs(math.log(rate / best)))
    assert one.best_is_at_edge is at_edge
    assert code == int(at_edge)
    assert ("one on toy and bert_toy: the best rate" in err) is at_edge
    assert len(tried) <= TRIALS + EXTENSIONS
    assert margin_of(one).within_noise is False, "the two tasks agree exactly"


def test_rates_that_score_alike_are_no_reason_to_go_on(tune):
    code, found, _ = tune("one", "-t", "toy", best=1e-3, idle_below=True)
    (search,) = map(Search.model_validate, found)
    assert rates(search) == pytest.approx([5e-4, 1e-3, 2e-3, 4e-3, 8e-3], rel=0.02)
    assert (search.best.learning_rate, search.best_is_at_edge, code) == (1e-3, False, 0)


def test_no_seed_is_both_searched_with_and_scored(tune, call):
    _, (search,), _ = tune("one", "-t", "toy")
    assert search["seeds"] == [100, 101]
    code, _, err = tune("one", "-t", "toy", "--seeds", "0,100")
    assert code == 2
    assert "--seeds: 0 is a seed that results are scored with; searches take seeds from 100" in err
    code, _, err = call("plan", "-m", "one", "-t", "toy", "--seeds", "0,101")
    assert code == 2
    assert "--seeds: 101 is kept for searches" in err


def test_a_track_that_starts_from_another_is_not_searched(tune, folder):
    few = folder / "tasks" / "few"
    shutil.copytree(folder / "tasks" / "toy", few)
    start = "start: {track: toy, tasks: {first: second, second: second}}\n"
    track = few / "track.yaml"
    track.write_text(track.read_text().replace("name: toy", "name: few") + start)
    code, found, err = tune("one", "-t", "few")
    assert (code, found) == (2, None)
    assert "the cells of track few start from those of toy" in err


def test_every_method_of_a_board_is_searched_on_the_same_tasks(tune):
    assert tune("one", "-t", "toy")[0] == 0
    code, _, err = tune("together", "-t", "toy/first")
    assert code == 2
    assert "one was searched on first,second, so that every method must be" in err
    assert tune("one", "-t", "toy/first")[0] == 0, "its own search is replaced"
    assert tune("together", "-t", "toy/first")[0] == 0
