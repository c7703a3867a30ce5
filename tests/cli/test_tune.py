"""A search tries as many rates for every method and judges them on validation data alone."""

import json

import pytest
from registries import METHOD_YAML, replace, write_registry
from shell import suite
from toy import write_method, write_tasks

from suite.errors import UserError
from suite.leaderboards import pages
from suite.planning.plan import Request, plan
from suite.registry import load
from suite.registry.schema import TRIALS
from suite.results.searches import Search, Trial

TUNING = "tuning:\n  mini:\n    default: [1.0e-5, 1.0e-2, 2.0e-2, 3.0e-2]\n"


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "registry"
    write_tasks(folder)
    write_method(folder, "good")
    path = folder / "methods" / "good.yaml"
    replace(path, "\ncost:", f"\n{TUNING}cost:")
    return folder


def test_the_best_validation_score_wins_and_a_second_call_trains_nothing(registry, tmp_path):
    what = ["tune", "good", "--tasks", "colours", "--steps", "40"]
    arguments = [*what, "--registry", registry, "--out", tmp_path / "o"]
    first = suite(*arguments, cache=tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    (path,) = (tmp_path / "o" / "tuning").glob("*.json")
    search = Search.model_validate_json(path.read_text())
    assert [trial.learning_rate for trial in search.trials] == [1e-5, 1e-2, 2e-2, 3e-2]
    assert search.best.score == max(trial.score for trial in search.trials)
    assert search.best.learning_rate > 1e-5, "nothing is learned at the lowest rate"
    for number, trial in enumerate(search.trials, 1):
        found = tmp_path / "o" / "tuning" / f"trial-{number}" / "results"
        scores = {}
        for result in map(json.loads, (each.read_text() for each in found.glob("*.json"))):
            assert result["recipe"]["learning_rate"] == trial.learning_rate
            scores |= {each["task"]: each["validation_score"] for each in result["scores"]}
        assert trial.scores == pytest.approx(scores, abs=0.01)
    again = suite(*arguments, cache=tmp_path / "cache")
    assert again.stdout == first.stdout
    assert again.stderr.count("0 cells to run") == TRIALS


def test_a_rate_that_diverges_is_named_and_never_wins(registry, tmp_path):
    path = registry / "methods" / "good.yaml"
    replace(path, "1.0e-5, 1.0e-2", "1.0e+30, 1.0e-2")
    what = ["tune", "good", "--tasks", "colours", "--json"]
    done = suite(*what, "--registry", registry, "--out", tmp_path / "o", cache=tmp_path / "cache")
    assert done.returncode == 1
    (search,) = json.loads(done.stdout)
    first, *others = search["trials"]
    assert first["score"] is None
    assert first["reason"].startswith("diverged")
    assert all(trial["score"] is not None for trial in others)


def test_a_method_without_rates_is_told_what_to_add(tmp_path):
    folder = write_registry(tmp_path)
    done = suite("tune", "one", "-t", "toy", "--registry", folder, cache=tmp_path / "cache")
    assert done.returncode == 2
    assert "one.yaml: no learning rates to try on bert" in done.stderr
    assert "tuning: {mini: {bert: [4 rates]}}" in done.stderr


@pytest.mark.parametrize("rates", ["[1e-3, 1e-2, 3e-2]", "[1e-3, 3e-3, 1e-2, 3e-2, 1e-1]"])
def test_no_method_may_search_more_or_less_than_the_others(tmp_path, rates):
    folder = write_registry(tmp_path)
    (folder / "methods" / "one.yaml").write_text(
        METHOD_YAML.replace("NAME", "one") + f"tuning: {{mini: {{default: {rates}}}}}\n"
    )
    with pytest.raises(UserError, match=r"tuning.mini.default: .*4 items"):
        load(folder).require_valid()


def test_a_trial_changes_the_rate_and_nothing_else(tmp_path):
    folder = write_registry(tmp_path)
    rates = "{mini: {default: [1e-3, 2e-3, 3e-3, 4e-3], bert: [4e-3, 5e-3, 6e-3, 7e-3]}}"
    path = folder / "methods" / "one.yaml"
    path.write_text(path.read_text() + f"tuning: {rates}\n")
    registry = load(folder)
    plain = plan(Request(("one",), ("toy",)), registry).planned[0].cell
    trial = plan(Request(("one",), ("toy",), trial=1), registry).planned[0].cell
    assert trial.recipe == plain.recipe.model_copy(update={"learning_rate": 5e-3})
    assert trial.identity.digest != plain.identity.digest


def test_the_page_shows_every_trial_and_marks_the_best():
    trials = (
        Trial(learning_rate=1e-3, scores={"cola": 40.0}, score=40.0),
        Trial(learning_rate=1e-2, scores={"cola": 61.24}, score=61.24),
        Trial(learning_rate=1e-1, scores={}, score=None, reason="diverged: not finite by step 3"),
        Trial(learning_rate=1e-4, scores={"cola": 20.0}, score=20.0),
    )
    search = Search(
        method="taps", backbone="bert_mini", scale="mini", track="glue", tasks=("cola",),
        seeds=(0,), steps=100, trials=trials,
    )  # fmt: skip
    files = pages([], load(), [search])
    row = next(line for line in files["searches.md"].decode().splitlines() if "taps" in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[-5:-2] == ["0.001: 40.0", "**0.01: 61.2**", "0.1: *diverged*"]
    assert "searches.md" in files["README.md"].decode()
    assert "searches.md" not in pages([], load())
