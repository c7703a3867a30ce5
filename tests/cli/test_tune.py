"""A search tries as many rates for every method and judges them on validation data alone."""

import json
from statistics import fmean

import pytest
from registries import METHOD_YAML, replace, write_registry
from scipy.stats import ttest_rel
from shell import suite
from toy import write_method, write_tasks

from suite.errors import UserError
from suite.leaderboards import pages
from suite.planning.plan import Request, plan
from suite.registry import load
from suite.registry.schema import TRIALS
from suite.results.margins import margin_of
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
    what = ["tune", "good", "--tasks", "colours", "--steps", "40", "--seeds", "1000"]
    arguments = [*what, "--registry", registry, "--out", tmp_path / "o"]
    first = suite(*arguments, cache=tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    (path,) = (tmp_path / "o" / "tuning").glob("*.json")
    search = Search.model_validate_json(path.read_text())
    assert [trial.learning_rate for trial in search.trials] == [1e-5, 1e-2, 2e-2, 3e-2]
    assert search.best.score == max(trial.score for trial in search.trials)
    assert search.best.learning_rate > 1e-5, "nothing is learned at the lowest rate"
    assert search.seeds == (1000,)
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


def test_the_grid_continues_by_the_ratio_of_its_outermost_rates(registry):
    replace(
        registry / "methods" / "good.yaml",
        "1.0e-5, 1.0e-2, 2.0e-2, 3.0e-2",
        "0.27, 0.01, 0.03, 0.09",
    )
    method = load(registry).methods["good"]
    rates = [method.trial_rate("mini", "resnet", place) for place in range(-2, 6)]
    assert rates == [0.0011, 0.0033, 0.01, 0.03, 0.09, 0.27, 0.81, 2.4]


def a_search(trials, seeds=(1000, 1001)):
    return Search(
        method="taps", backbone="bert_mini", scale="mini", track="glue", tasks=("cola",),
        seeds=seeds, steps=100, trials=trials,
    )  # fmt: skip


def test_the_margin_is_that_of_a_paired_t_test_over_tasks():
    better = {"cola": 70.0, "rte": 64.0, "mrpc": 71.0, "stsb": 66.0}
    worse = {"cola": 69.0, "rte": 60.5, "mrpc": 71.5, "stsb": 64.0}
    trials = [
        Trial(learning_rate=rate, scores=scores, score=fmean(scores.values()))
        for rate, scores in ((0.1, worse), (0.2, better), (0.3, dict.fromkeys(better, 50.0)))
    ]
    margin = margin_of(a_search(trials))
    found = ttest_rel([*better.values()], [*worse.values()]).confidence_interval(0.95)
    assert margin.points == pytest.approx(1.5)
    assert margin.points + margin.half_width == pytest.approx(found.high)
    assert margin.points - margin.half_width == pytest.approx(found.low)
    assert margin.within_noise
    clear = margin_of(a_search([trials[0], trials[2]]))
    assert not clear.within_noise
    one = [Trial(learning_rate=r, scores={"cola": s}, score=s) for r, s in ((1, 4.0), (2, 3.0))]
    assert margin_of(a_search(one)).within_noise is None, "one task says nothing about noise"


def test_a_rate_that_diverges_is_named_and_never_wins(registry, tmp_path):
    path = registry / "methods" / "good.yaml"
    replace(path, "1.0e-5, 1.0e-2", "1.0e+30, 1.0e-2")
    what = ["tune", "good", "--tasks", "colours", "--seeds", "1000", "--json"]
    done = suite(*what, "--registry", registry, "--out", tmp_path / "o", cache=tmp_path / "cache")
    assert done.returncode == 1
    (search,) = json.loads(done.stdout)
    *others, last = search["trials"]
    assert last["score"] is None
    assert last["reason"].startswith("diverged")
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
    trial = plan(Request(("one",), ("toy",), seeds=(1000,), trial=1), registry).planned[0].cell
    assert trial.recipe == plain.recipe.model_copy(update={"learning_rate": 5e-3})
    assert trial.identity.digest != plain.identity.digest


def test_the_page_shows_every_trial_and_marks_the_best():
    trials = (
        Trial(learning_rate=1e-3, scores={"cola": 40.0}, score=40.0),
        Trial(learning_rate=1e-2, scores={"cola": 61.24}, score=61.24),
        Trial(learning_rate=1e-1, scores={}, score=None, reason="diverged: not finite by step 3"),
        Trial(learning_rate=1e-4, scores={"cola": 20.0}, score=20.0),
    )
    search = a_search(trials)
    files = pages([], load(), [search])
    row = next(line for line in files["searches.md"].decode().splitlines() if "taps" in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[6:10] == ["0.0001: 20.0", "0.001: 40.0", "**0.01: 61.2**", "0.1: *diverged*"]
    assert cells[10:12] == ["21.2", ""], "its margin; it is not at an edge: a higher rate diverged"
    old = pages([], load(), [a_search(trials, seeds=(0,))])["searches.md"].decode()
    assert "† Made with seeds that results are scored with" in old
    assert "†" not in files["searches.md"].decode()
    assert "searches.md" in files["README.md"].decode()
    assert "searches.md" not in pages([], load())
