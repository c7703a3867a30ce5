"""What `list`, `show` and `why` answer, to people and to machines."""

import json
from pathlib import Path

import pytest
from planned import PLAN, write_results
from registries import replace

from suite.results.records import Ledger, TaskScore


@pytest.fixture
def scored(folder):
    """Results with scores: of `one`, 60 on each task; of `together`, 60 and 80."""
    for result in write_results(folder):
        tasks = result.cell.tasks
        scores = tuple(
            TaskScore(
                task=task, metrics={"accuracy": value}, score=value, validation_score=0.0,
                predictions=(1, 0), targets=(1, 1),
            )
            for task, value in zip(tasks, (60.0, 80.0), strict=False)
        )  # fmt: skip
        ledger = Ledger(
            shared_bits=320, task_bits=dict.fromkeys(tasks, 32), head_bits=dict.fromkeys(tasks, 0),
            buffer_bits=0, tensor_bytes=0, file_bytes=0,
        )  # fmt: skip
        result.model_copy(
            update={"scores": scores, "ledger": ledger, "backbone_parameters": 100}
        ).write(Path("runs/results"))


def test_results_are_listed_with_scores_and_what_they_store(call, scored):
    lines = [line.split() for line in call("list", "results")[1].splitlines()]
    assert lines[0][:5] == ["cell", "scale", "status", "score", "stored"]
    assert {line[0].partition(".")[0]: line[1:5] for line in lines[1:]} == {
        "one": ["mini", "ok", "60.0", "0.11"],
        "together": ["mini", "ok", "70.0", "0.12"],
    }


def test_results_are_listed_for_machines(call, scored):
    by_method = {each["method"]: each for each in json.loads(call("list", "results", "--json")[1])}
    found = by_method["together"]
    assert found["score"] == 70
    assert found["scores"] == {"first": 60, "second": 80}
    assert found["stored_x"] == pytest.approx(0.12)
    assert (found["setting"], found["seed"], found["scale"]) == ("", 0, "mini")
    assert found["label"] == "together.toy-first+second.bert_toy.s0"


def test_a_result_without_a_score_is_listed_as_such(call, folder):
    write_results(folder, "failed")
    assert call("list", "results")[1].splitlines()[1].split()[1:5] == ["mini", "failed", "-", "-"]
    first = json.loads(call("list", "results", "--json")[1])[0]
    assert first["score"] is first["stored_x"] is None


def test_why_answers_machines(call, folder):
    write_results(folder)
    replace(folder / "methods" / "one.yaml", "learning_rate: 2e-3", "learning_rate: 3e-3")
    found = json.loads(call("why", "one.*", "--json")[1])
    assert [each["label"] for each in found] == [
        "one.toy-first.bert_toy.s0", "one.toy-second.bert_toy.s0",
    ]  # fmt: skip
    assert found[0]["recipe"]["learning_rate"] == 2e-3
    assert "learning_rate" in found[0]["today"]
    assert len(found[0]["identity"]["digest"]) == 64


def test_show_answers_machines(call):
    (found,) = json.loads(call("show", "one", "--json")[1])
    assert (found["kind"], found["name"]) == ("method", "one")
    assert found["file"].endswith("registry/methods/one.yaml")
    assert found["options"]["rank"]["default"] == 8


def test_a_track_is_shown_as_a_page_to_read(call):
    lines = call("show", "glue")[1].splitlines()
    assert len(lines) < 80
    assert any("cola" in line and "matthews" in line for line in lines)
    assert any("full" in line and "steps 1000" in line for line in lines)
    published = [line for line in lines if "HyperFormer++" in line]
    assert len(published) == 3
    (found,) = json.loads(call("show", "glue", "--json")[1])
    assert found["published"][0]["source"]


@pytest.mark.parametrize(
    "name", ["one.toy-first.bert_toy.s0", "one[rank=0.5].toy-first.bert_toy.s10"]
)
def test_show_of_a_result_points_to_why(call, name):
    code, _, err = call("show", name)
    assert code == 2
    assert f"python -m suite why '{name}'" in err


@pytest.mark.parametrize("words", ["0-3", "0..3", "0,1..2,3", "0-1,1-3"])
def test_seeds_are_numbers_and_ranges(call, words):
    plans = json.loads(call(*PLAN, "--seeds", words, "--json")[1])
    seeds = [item["cell"]["seed"] for item in plans if item["cell"]["method"] == "together"]
    assert seeds == [0, 1, 2, 3]


@pytest.mark.parametrize("words", ["3-0", "1-", "0-x", "1...3"])
def test_a_range_that_is_none_is_refused(call, words):
    code, _, err = call(*PLAN, "--seeds", words)
    assert code == 2
    assert "whole numbers and ranges such as 0-4" in err


def test_what_is_missing_is_said_once(call, folder):
    (folder / "backbones" / "mini" / "bert_toy" / "model.safetensors").unlink()
    code, out, err = call(*PLAN)
    assert code == 0
    assert out.count("not found: backbone bert_toy") == 3
    assert (out + err).count("weights of backbone bert_toy not found") == 1
    assert (out + err).count("looked in") == 1
