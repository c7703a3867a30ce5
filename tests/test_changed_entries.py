"""What a pull request changed is found, so that it is checked for that alone."""

import importlib.util
from pathlib import Path

import pytest

from suite.registry import load

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def entries():
    spec = importlib.util.spec_from_file_location("changed", ROOT / ".github/changed_entries.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    registry = load(ROOT)
    return lambda *names: [*script.entries(registry, {ROOT / name for name in names})]


def test_an_entry_is_found_by_its_yaml_and_by_its_python(entries):
    assert entries("methods/lora.yaml") == ["lora"]
    assert entries("methods/lora.py", "tasks/glue/rte.yaml") == ["dora", "lora", "glue/rte"]


def test_a_generator_belongs_to_every_task_it_makes(entries):
    assert len(entries("tasks/visual-domains/mini.py")) == 7


def test_what_belongs_to_no_entry_that_can_be_checked_is_left_out(entries):
    assert entries("suite/errors.py", "leaderboards/README.md", "tasks/pacs/photo.yaml") == []
