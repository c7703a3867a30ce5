"""Made-up examples are read by what reads the real ones."""

import pytest

from suite.data.made_up import ROWS, small_source, write_examples
from suite.data.sources import load_splits
from suite.registry import load
from suite.registry.schema import Scale, TaskEntry

TASKS = {name: task for name, task in load().tasks.items() if task.sources.full}


@pytest.mark.parametrize("name", TASKS)
def test_the_made_up_examples_of_every_task_are_read(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    check(TASKS[name], tmp_path)


@pytest.mark.parametrize("label", ["labels", ["toxic", "rude", "kind"]])
def test_the_made_up_examples_of_several_labels_are_read(label, tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    facts = TASKS["glue/rte"].model_dump(mode="json", by_alias=True)
    facts["output"] = {"type": "multilabel", "labels": ["toxic", "rude", "kind"]}
    facts["metrics"] = ["micro_f1"]
    facts["sources"]["full"] |= {"label": label}
    check(TaskEntry.model_validate(facts), tmp_path)


def test_the_made_up_examples_of_classes_that_are_numbers_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    facts = TASKS["glue/rte"].model_dump(mode="json", by_alias=True)
    facts["output"] = {"type": "classification", "labels": ["1", "2", "3"]}
    check(TaskEntry.model_validate(facts), tmp_path)


def check(task, tmp_path):
    full = small_source(task.sources.full)
    task = task.model_copy(update={"sources": task.sources.model_copy(update={"full": full})})
    write_examples(task, tmp_path)
    splits = load_splits(task, Scale.FULL, None if task.text else 8)
    sizes = {len(each["label"]) for each in (splits.train, splits.validation, splits.test)}
    assert sizes <= {ROWS, 2 * ROWS}
    assert "made-up examples" in splits.note
