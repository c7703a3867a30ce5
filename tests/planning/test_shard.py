"""Parts of a plan: disjoint, together all of it, and taken from the variables of schedulers."""

from collections import Counter
from dataclasses import replace as changed

import pytest
from registries import write_registry

from suite.errors import UserError
from suite.planning.plan import Request, plan
from suite.planning.shard import Shard, shard_of
from suite.registry import load
from suite.registry.schema import Store
from suite.results.records import Result

ASKED = Request(("one", "together"), ("toy",), seeds=(0, 1, 2), store=(Store.FLOAT32, Store.INT8))


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return load(write_registry(tmp_path / "registry"))


def cells(made):
    return [item.cell.key for item in made.planned]


@pytest.mark.parametrize("count", [1, 2, 4, 20])
def test_parts_are_disjoint_complete_and_split_no_training(registry, count):
    whole = cells(plan(ASKED, registry))
    parts = [
        cells(plan(changed(ASKED, shard=Shard(number, count)), registry))
        for number in range(1, count + 1)
    ]
    assert Counter(cell for part in parts for cell in part) == Counter(whole)
    trainings = [{cell.stored_as(Store.FLOAT32) for cell in part} for part in parts]
    assert sum(map(len, trainings)) == len(set().union(*trainings)) == 9
    assert max(map(len, trainings)) - min(map(len, trainings)) <= 1
    for part in parts:
        assert part == [cell for cell in whole if cell in part], "in the plan's order"


def test_a_part_stays_the_same_while_others_run(registry):
    asked = changed(ASKED, shard=Shard(1, 2))
    before = plan(asked, registry)
    done = [
        Result(cell=item.cell.key, identity=item.cell.identity, status="ok")
        for item in plan(ASKED, registry).planned[::3]
    ]
    after = plan(asked, registry, {result.cell: result for result in done})
    assert cells(after) == cells(before)
    assert after.counts.startswith("part 1/2 of the plan: ")
    assert len(after.with_action("cached")) > 0


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        ({}, None),
        ({"ID": "0", "COUNT": "3", "MIN": "0"}, "1/3"),
        ({"ID": "7", "COUNT": "3", "MIN": "5"}, "3/3"),
        ({"ID": "30", "COUNT": "4", "MIN": "0", "STEP": "10"}, "4/4"),
    ],
)
def test_a_task_of_a_slurm_array_takes_its_part(variables, shard):
    found = shard_of(None, {f"SLURM_ARRAY_TASK_{name}": v for name, v in variables.items()})
    assert (found and str(found)) == shard
    if found:
        assert found.origin.startswith("SLURM_ARRAY_TASK_ID, ")


def test_a_pod_of_an_indexed_job_takes_its_part_if_it_knows_of_how_many():
    assert shard_of(None, {"JOB_COMPLETION_INDEX": "2"}) is None
    found = shard_of(None, {"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3"})
    assert found == Shard(3, 3, "JOB_COMPLETION_INDEX and JOB_COMPLETIONS")


def test_what_is_asked_for_comes_before_variables():
    array = {f"SLURM_ARRAY_TASK_{name}": "3" for name in ("ID", "COUNT", "MIN")}
    assert shard_of("1/1", array) == Shard(1, 1)


@pytest.mark.parametrize("word", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", ""])
def test_a_word_that_names_no_part_is_refused(word):
    with pytest.raises(UserError, match="from 1/N to N/N"):
        shard_of(word, {})


@pytest.mark.parametrize(
    ("task", "count", "first"), [("9", "3", "1"), ("1", "", "1"), ("x", "3", "1")]
)
def test_variables_that_name_no_part_are_refused(task, count, first):
    """An array such as 1,5,9 does not say which of its tasks this is."""
    values = {"ID": task, "COUNT": count, "MIN": first}
    with pytest.raises(UserError, match="--shard"):
        shard_of(None, {f"SLURM_ARRAY_TASK_{name}": value for name, value in values.items()})
