"""What is loaded from where, and what a broken entry leaves whole."""

import pytest
from registries import problems, replace, write_registry

from suite.errors import UserError
from suite.registry import load


def test_a_registry_without_mistakes_loads_whole(folder):
    registry = load(folder)
    assert registry.problems == ()
    assert {"one", "together"} <= registry.methods.keys()
    assert {"toy/first", "toy/second"} <= registry.tasks.keys()
    assert registry.tasks["toy/first"].track == "toy"
    assert registry.methods["one"].path == folder / "methods" / "one.yaml"
    assert registry.methods["one"].python_path == folder / "methods" / "one.py"


def test_labels_may_be_a_number_of_classes(folder):
    replace(folder / "tasks" / "toy" / "first.yaml", 'labels: ["no", "yes"]', "labels: 3")
    registry = load(folder)
    registry.require_valid()
    assert registry.tasks["toy/first"].output.labels == ("0", "1", "2")


def test_fields_may_be_inherited_within_the_file(folder):
    replace(
        folder / "methods" / "one.py",
        "class Something(Method):\n    rank: int\n",
        "class _Base(Method):\n    rank: int\n\n\nclass Something(_Base):\n",
    )
    assert problems(folder) == []


def test_only_the_keys_that_are_written_change_a_recipe(folder):
    replace(folder / "methods" / "one.yaml", "learning_rate: 2e-3", "head_learning_rate: null")
    recipe = load(folder).methods["one"].recipe["mini"]
    assert recipe["default"].written == {"head_learning_rate": None}
    assert recipe["bert"].written == {"weight_decay": 0.1}


def test_two_entries_may_share_a_python_file(folder):
    (folder / "methods" / "together.py").unlink()
    replace(folder / "methods" / "together.yaml", "regime: joint", "regime: joint\npython: one.py")
    assert problems(folder) == []


def test_a_broken_entry_hides_no_other(folder):
    replace(folder / "methods" / "one.yaml", "regime: per_task", "regime: never")
    registry = load(folder)
    assert "one" not in registry.methods
    assert "together" in registry.methods
    assert [(entry.kind, entry.name) for entry in registry.broken] == [("method", "one")]


def test_a_broken_task_does_not_break_its_track(folder):
    replace(folder / "tasks" / "toy" / "first.yaml", "metrics: [accuracy]", "metrics: []")
    registry = load(folder)
    assert "toy" in registry.tracks
    assert [(entry.kind, entry.name) for entry in registry.broken] == [("task", "toy/first")]


def test_an_earlier_folder_wins(folder, tmp_path_factory, monkeypatch):
    other = write_registry(tmp_path_factory.mktemp("other"))
    replace(other / "methods" / "one.yaml", "title: A method", "title: The other one")
    monkeypatch.setenv("SUITE_REGISTRY", str(other))
    assert load().methods["one"].title == "The other one"
    assert load(folder).methods["one"].title == "A method"
    monkeypatch.chdir(folder)
    assert load().methods["one"].title == "The other one"
    monkeypatch.delenv("SUITE_REGISTRY")
    assert load().methods["one"].title == "A method"


def test_a_track_found_earlier_hides_the_whole_later_one(folder, tmp_path_factory, monkeypatch):
    other = write_registry(tmp_path_factory.mktemp("other"))
    (other / "tasks" / "toy" / "second.yaml").unlink()
    replace(other / "tasks" / "toy" / "track.yaml", "[first, second]", "[first]")
    monkeypatch.chdir(folder)
    registry = load(other)
    assert [key for key in registry.tasks if key.startswith("toy/")] == ["toy/first"]


def test_a_folder_that_is_no_registry_is_refused(tmp_path_factory):
    with pytest.raises(UserError, match="it has no folder methods or tasks or backbones"):
        load(tmp_path_factory.mktemp("empty"))


def test_a_folder_may_hold_backbones_alone(folder, tmp_path_factory):
    own = tmp_path_factory.mktemp("own")
    (own / "backbones").mkdir()
    entry = (folder / "backbones" / "bert_toy.yaml").read_text()
    (own / "backbones" / "mine.yaml").write_text(entry.replace("name: bert_toy", "name: mine"))
    registry = load(own)
    assert registry.backbones["mine"].path.parent == own / "backbones"
    assert registry.problems == ()
