"""Results of other code are carried where a sample computes the same, and nowhere else."""

from pathlib import Path

import pytest
from planned import PLAN, write_results
from registries import replace

from suite.engine.recorded import Comparison, Recorded, _difference
from suite.errors import UserError
from suite.registry.schema import Store
from suite.results.folder import read_results
from suite.results.records import Carried, Environment, Ledger, TaskScore

COMMIT = "0123456789abcdef"
CARRIED = Carried(
    commit=COMMIT,
    dirty=False,
    cells=("a",),
    steps=20,
    predictions=7,
    hardware="A CPU",
    date="2026-01-01T00:00:00Z",
)
HERE = Environment(
    device="cpu",
    hardware="A CPU",
    threads=1,
    versions={},
    commit=COMMIT,
    dirty=False,
    finished="2026-01-01T00:00:00Z",
)


@pytest.fixture
def measured(folder):
    """Results whose code has changed since, all else equal."""
    for result in write_results(folder):
        result.model_copy(update={"environment": HERE}).write(Path("runs/results"))
    replace(folder / "methods" / "one.py", "NotImplementedError", "ValueError")
    replace(folder / "methods" / "together.py", "NotImplementedError", "ValueError")


@pytest.fixture
def compared(monkeypatch):
    """Replaces the comparison by its outcome for each method; the groups that were asked for."""
    asked = []

    def by(outcomes):
        def compare(self, group, sample, steps, registry):
            asked.append((group, [each.result.cell.label for each in sample], steps))
            outcome = outcomes[group.method]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(Recorded, "compare", compare)
        return asked

    return by


def test_results_of_equal_code_are_carried_and_others_stay_stale(call, folder, measured, compared):
    asked = compared(
        {"one": Comparison(7, carried=CARRIED), "together": Comparison(7, "3 of 7 differ")}
    )
    assert "3 to run" in call(*PLAN)[2]
    code, _, err = call("carry", "--steps", "20")
    assert code == 1
    assert [(group.method, len(cells), steps) for group, cells, steps in asked] == [
        ("one", 1, 20),
        ("together", 1, 20),
    ]
    assert "one on bert from 01234567: 2 results carried: 7 predictions are equal" in err
    assert "together on bert from 01234567: 1 result stale: 3 of 7 differ" in err
    _, _, err = call(*PLAN)
    assert "2 cached, 1 to run" in err or "1 to run, 2 cached" in err
    assert {r.cell.method: r.carried for r in read_results(Path("runs")).values()} == {
        "one": CARRIED,
        "together": None,
    }
    asked.clear()
    call("carry")
    assert [group.method for group, _, _ in asked] == ["together"], "it goes on where it stopped"


def test_code_that_cannot_be_run_again_stops_its_own_results_alone(
    call, folder, measured, compared
):
    lost = UserError("commit 01234567 is not in this repository")
    compared({"one": lost, "together": Comparison(7, carried=CARRIED)})
    code, _, err = call("carry")
    assert code == 1
    assert "one on bert from 01234567: 2 results stale: commit 01234567 is not in" in err
    assert "carried: 1 result; stale: 2, which run measures again" in err


def test_what_differs_in_more_than_code_is_never_carried(call, folder, measured, compared):
    asked = compared({"together": Comparison(7, carried=CARRIED)})
    weights = folder / "backbones" / "mini" / "bert_toy" / "model.safetensors"
    weights.write_text("other weights")
    _, _, err = call("carry")
    assert asked == []
    assert "left as they are, other backbone weights: one.toy-first.bert_toy.s0" in err
    replace(folder / "methods" / "one.yaml", "default: 8", "default: 9")
    assert "other options" not in call("carry")[2], "the recorded options are asked for"


def test_a_recorded_commit_must_be_in_the_repository():
    with Recorded.opened() as recorded, pytest.raises(UserError, match="not in this repository"):
        recorded.tree("0" * 40)


def test_results_are_equal_bit_for_bit_or_the_difference_is_said(folder):
    (result, *_) = write_results(folder)
    score = TaskScore(
        task="first",
        metrics={"accuracy": 50.0},
        score=50.0,
        validation_score=50.0,
        predictions=(0, 1, 1),
        targets=(0, 1, 0),
    )
    ledger = Ledger(
        shared_bits=0, task_bits={}, head_bits={}, buffer_bits=0, tensor_bytes=0, file_bytes=9
    )
    before = result.model_copy(update={"scores": (score,), "ledger": ledger})

    def now(**changes):
        return before.model_copy(update=changes)

    def scored(**changes):
        return now(scores=(score.model_copy(update=changes),))

    assert _difference(before, before) == ""
    assert _difference(before, scored(predictions=(0, 1, 0))) == "1 of 3 predictions differ"
    assert "other scores of first" in _difference(before, scored(validation_score=50.0001))
    larger = ledger.model_copy(update={"buffer_bits": 1})
    assert _difference(before, now(ledger=larger)) == "other costs from equal predictions"
    renamed = ledger.model_copy(update={"file_bytes": 10})
    assert _difference(before, now(ledger=renamed)) == "", "names in the file are no cost"


def test_every_precision_is_compared_for_itself(call, folder, measured, compared):
    """What rounds is not run where nothing is rounded."""
    asked = compared({"one": Comparison(7, carried=CARRIED)})
    for result in write_results(folder, store=(Store.INT8,)):
        result.model_copy(update={"environment": HERE}).write(Path("runs/results"))
    replace(folder / "methods" / "one.py", "ValueError", "KeyError")
    call("carry", "-m", "one,nothing")
    ((_, cells, _),) = asked
    assert sorted("store=int8" in cell for cell in cells) == [False, True]


def test_methods_without_stale_results_are_a_mistake(call, folder, measured, compared):
    compared({})
    code, _, err = call("carry", "-m", "onne")
    assert (code, "no result that is to be carried has these methods" in err) == (2, True)
