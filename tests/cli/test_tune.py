"""A search tries as many rates for every method and judges them on validation data alone."""

import dataclasses
import json
from statistics import fmean

import pytest
from registries import METHOD_YAML, replace, write_registry
from scipy.stats import ttest_rel
from toy import write_method, write_tasks

from suite.cli.main import main
from suite.engine.search import beyond, search_tasks
from suite.errors import UserError
from suite.leaderboards import pages
from suite.planning.plan import Request, plan
from suite.registry import load
from suite.registry.schema import TRIALS, on_grid
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


@pytest.fixture
def tune(registry, tmp_path, monkeypatch, capsys, forked):
    """Search the rate of `good`: (exit code, what stdout and stderr say)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words):
        where = ["--registry", str(registry), "--out", str(tmp_path / "o"), "-j", "1"]
        code = main(["tune", "good", "--tasks", "colours", "--seeds", "100", *words, *where])
        return code, capsys.readouterr()

    return run


def test_a_file_in_the_place_of_the_search_is_not_written_over(tune, tmp_path):
    """It is named before anything is trained, and files elsewhere are passed over."""
    folder = tmp_path / "o" / "tuning"
    folder.mkdir(parents=True)
    place = folder / "mini.good.colours.resnet_mini.json"
    place.write_text("{}")
    (folder / "mini.other.colours.resnet_mini.json").write_text("[]")
    code, captured = tune("--steps", "1")
    assert (code, captured.out, place.read_text()) == (2, "", "{}")
    assert "warning: left out, because it is no search:" in captured.err
    last = captured.err.splitlines()[-1]
    assert last.startswith(f"error: {place}: not a result") and last.endswith("delete it")
    assert not [*folder.glob("trial-*")]


def test_the_best_validation_score_wins_and_a_second_call_trains_nothing(tune, tmp_path):
    code, first = tune("--steps", "12")
    assert code == 0, first.err
    (path,) = (tmp_path / "o" / "tuning").glob("*.json")
    search = Search.model_validate_json(path.read_text())
    assert [trial.learning_rate for trial in search.trials][:TRIALS] == [1e-5, 1e-2, 2e-2, 3e-2]
    means = {trial.learning_rate: fmean(trial.scores.values()) for trial in search.trials}
    assert means[search.best.learning_rate] == pytest.approx(max(means.values()), abs=0.01)
    assert search.best.learning_rate > 1e-5, "nothing is learned at the lowest rate"
    for number, trial in enumerate(search.trials[:TRIALS], 1):
        found = tmp_path / "o" / "tuning" / f"trial-{number}" / "results"
        scores = {}
        for result in map(json.loads, (each.read_text() for each in found.glob("*.json"))):
            assert result["recipe"]["learning_rate"] == trial.learning_rate
            scores |= {each["task"]: each["validation_score"] for each in result["scores"]}
        assert trial.scores == pytest.approx(scores, abs=0.01)
    _, again = tune("--steps", "12")
    assert again.out == first.out
    assert again.err.count(": 0 cells to run") == len(search.trials)


def test_a_rate_that_diverges_never_wins_and_runs_take_the_best_that_is_adopted(registry, tune):
    path = registry / "methods" / "good.yaml"
    replace(path, "2.0e-2, 3.0e-2]", "1.0e+29, 1.0e+30]")
    code, said = tune("--steps", "12", "--adopt", "--json")
    assert code == 1
    (search,) = json.loads(said.out)
    low, best, *diverged = search["trials"]
    assert [trial["score"] for trial in diverged] == [None, None]
    assert diverged[1]["reason"].startswith("diverged")
    loaded = load(registry)
    cell = plan(Request(("good",), ("colours",)), loaded).planned[0].cell
    assert cell.recipe.learning_rate == 1e-2
    found = loaded.methods["good"].found_rates[cell.key.track][cell.key.backbone]
    assert (found.score, found.seeds, found.steps) == (best["score"], (100,), 12)
    assert found.margin == pytest.approx(best["score"] - low["score"], abs=0.01)
    assert loaded.methods["good"].found_rate(cell.key.track, "another") is None


def test_without_rates_of_its_own_a_method_is_searched_around_its_recipes(tmp_path):
    registry = load(write_registry(tmp_path))
    made = [
        plan(Request(("one",), ("toy",), seeds=(100,), trial=place), registry)
        for place in range(TRIALS)
    ]
    rates = [each.planned[0].cell.recipe.learning_rate for each in made]
    assert rates == pytest.approx([2e-3 / 3, 2e-3, 6e-3, 1.8e-2], rel=1e-3)


def trials(scores):
    return {
        place: Trial(learning_rate=10.0**place, scores={}, score=score)
        for place, score in scores.items()
    }


def test_an_optimum_at_the_edge_is_followed_outward_and_one_inside_is_not():
    assert beyond(trials({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0})) == 4
    assert beyond(trials({0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0})) == -1
    assert beyond(trials({0: 1.0, 1: 3.0, 2: 2.0, 3: 1.0})) is None
    # A rate that diverged was tried as well: what lies before it is not the edge.
    assert beyond(trials({0: 1.0, 1: 2.0, 2: 3.0, 3: None})) is None
    assert beyond(trials({0: None, 1: None})) is None


def test_a_grid_continues_by_the_ratio_at_its_edge(tmp_path):
    folder = write_registry(tmp_path)
    path = folder / "methods" / "one.yaml"
    path.write_text(path.read_text() + "tuning: {mini: {default: [1e-3, 2e-3, 4e-3, 1.2e-2]}}\n")
    registry = load(folder)
    rates = [
        plan(Request(("one",), ("toy",), seeds=(100,), trial=place), registry)
        .planned[0]
        .cell.recipe.learning_rate
        for place in range(-2, 6)
    ]
    assert rates == pytest.approx([2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 1.2e-2, 3.6e-2, 0.108])


def test_a_grid_ends_where_floats_do():
    rates = (1e-250, 1e-100, 1e9, 1e29)
    found = [on_grid(rates, 1.0, place) for place in (-2, -1, 0, 1, 2, 3, 4, 5)]
    assert found == [1e-300, 1e-300, *rates, 1e30, 1e30]


def test_a_whole_track_is_searched_on_the_tasks_it_names_at_a_third_of_the_steps(tmp_path):
    folder = write_registry(tmp_path)
    replace(folder / "tasks" / "toy" / "track.yaml", "recipe:", "search: {mini: [second]}\nrecipe:")
    registry = load(folder)
    assert search_tasks(Request(("one",), ("toy",)), registry) == ("toy/second",)
    assert search_tasks(Request(("one",), ("first",)), registry) == ("toy/first",)
    (item,) = plan(Request(("one",), ("second",), seeds=(100,), trial=0), registry).planned
    assert item.cell.recipe.steps == 17
    (item,) = plan(Request(("one",), ("second",)), registry).planned
    assert item.cell.recipe.steps == 50


def test_a_rate_for_what_does_not_exist_is_a_mistake(tmp_path):
    folder = write_registry(tmp_path)
    rates = folder / "methods" / "rates"
    rates.mkdir()
    found = "{learning_rate: 0.1, score: 50.0, tasks: [first], seeds: [100], steps: 9}"
    text = "schema: 1\nname: one\nrates: {toys: {bert_toy: FOUND}, toy: {bert: FOUND}}\n"
    (rates / "one.yaml").write_text(text.replace("FOUND", found))
    (rates / "ones.yaml").write_text("schema: 1\nname: ones\n")
    with pytest.raises(UserError) as raised:
        load(folder).require_valid()
    assert "rates.toys: there is no track 'toys'; did you mean 'toy'?" in str(raised.value)
    assert "rates.toy.bert: there is no backbone 'bert'" in str(raised.value)
    assert "there is no method 'ones'; did you mean 'one'?" in str(raised.value)


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
    trial = plan(Request(("one",), ("toy",), seeds=(100,), trial=1), registry).planned[0].cell
    assert trial.recipe == plain.recipe.model_copy(update={"learning_rate": 5e-3})
    assert trial.identity.digest != plain.identity.digest


def a_search(trials, seeds=(100, 101)):
    return Search(
        method="one", backbone="bert_toy", scale="mini", track="toy", tasks=("first",),
        seeds=seeds, steps=100, trials=trials,
    )  # fmt: skip


def test_the_margin_is_that_of_a_paired_t_test_over_tasks():
    better = {"cola": 70.0, "rte": 64.0, "mrpc": 71.0, "stsb": 66.0}
    worse = {"cola": 69.0, "rte": 60.5, "mrpc": 71.5, "stsb": 64.0}
    tried = [
        Trial(learning_rate=rate, scores=scores, score=fmean(scores.values()))
        for rate, scores in ((0.1, worse), (0.2, better), (0.3, dict.fromkeys(better, 50.0)))
    ]
    margin = margin_of(a_search(tried))
    found = ttest_rel([*better.values()], [*worse.values()]).confidence_interval(0.95)
    assert margin.points == pytest.approx(1.5)
    assert margin.points + margin.half_width == pytest.approx(found.high)
    assert margin.points - margin.half_width == pytest.approx(found.low)
    assert margin.within_noise
    clear = margin_of(a_search([tried[0], tried[2]]))
    assert not clear.within_noise
    one = [Trial(learning_rate=r, scores={"cola": s}, score=s) for r, s in ((1, 4.0), (2, 3.0))]
    assert margin_of(a_search(one)).within_noise is None, "one task says nothing about noise"


def test_the_page_shows_every_trial_and_marks_the_best(tmp_path):
    registry = load(write_registry(tmp_path))
    # Without the tracks that come with the package, whose published boards would all be drawn.
    registry = dataclasses.replace(registry, tracks={"toy": registry.tracks["toy"]})
    trials = (
        Trial(learning_rate=1e-3, scores={"cola": 40.0}, score=40.0),
        Trial(learning_rate=1e-2, scores={"cola": 61.24}, score=61.24),
        Trial(learning_rate=1e-1, scores={}, score=None, reason="diverged: not finite by step 3"),
        Trial(learning_rate=1e-4, scores={"cola": 20.0}, score=20.0),
    )
    search = a_search(trials)
    files = pages([], registry, [search])
    row = next(line for line in files["searches.md"].decode().splitlines() if "| one " in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[6:10] == ["0.0001: 20.0", "0.001: 40.0", "**0.01: 61.2**", "0.1: *diverged*"]
    assert cells[10:12] == ["21.2", ""], "its margin; it is not at an edge: a higher rate diverged"
    old = pages([], registry, [a_search(trials, seeds=(0,))])["searches.md"].decode()
    assert "† Made with seeds that results are scored with" in old
    assert "†" not in files["searches.md"].decode()
    assert "searches.md" in files["README.md"].decode()
    assert "searches.md" not in pages([], registry)


def test_a_search_in_which_cells_are_left_is_none(tune, tmp_path, monkeypatch):
    monkeypatch.setattr("suite.engine.search.execute", lambda *_: None)
    code, said = tune("--steps", "1")
    assert code == 2
    assert "trial 1 of good: 0 of 2 cells have a result; the same command goes on" in said.err
    assert [*(tmp_path / "o" / "tuning").glob("*.json")] == []


def test_a_search_of_another_setting_has_its_name_and_is_not_adopted(tune, registry, tmp_path):
    tune("--steps", "1", "--set", "good.store=int8", "--adopt")
    (path,) = (tmp_path / "o" / "tuning").glob("*.json")
    assert path.name == "mini.good[store=int8].colours.resnet_mini.json"
    assert Search.model_validate_json(path.read_text()).name == "good[store=int8]"
    assert not (registry / "methods" / "rates").exists()
