from dataclasses import dataclass

import pytest
from registries import write_registry

from suite.planning.identity import (
    backbone_digest,
    differences,
    identity,
    method_digest,
    recipe_digest,
    task_digest,
)
from suite.registry import Registry, load
from suite.registry.schema import Classification, HubSource, OptionValue, Recipe, Scale, TaskEntry
from suite.results.records import Environment, Identity


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    monkeypatch.chdir(tmp_path)
    return load(write_registry(tmp_path))


@pytest.fixture
def task(registry) -> TaskEntry:
    return registry.tasks["toy/first"]


RECIPE = Recipe()


def mini(task: TaskEntry, recipe: Recipe = RECIPE, size: int | None = None) -> str:
    return task_digest(task, Scale.MINI, "data", recipe, size)


def full(task: TaskEntry, **source: object) -> str:
    hub = HubSource(hub="a/b", split_rule="carve_from_train", splits={"test": "test"})
    sources = task.sources.model_copy(update={"full": hub.model_copy(update=source)})
    return task_digest(
        task.model_copy(update={"sources": sources}), Scale.FULL, "data", Recipe(), None
    )


def test_a_method_is_its_code_its_regime_and_its_options(registry):
    entry = registry.methods["one"]
    digest = method_digest(entry, {"rank": 8})
    assert digest == method_digest(
        entry.model_copy(update={"title": "x", "notes": "y"}), {"rank": 8}
    )
    assert digest != method_digest(entry, {"rank": 4})
    assert digest != method_digest(entry.model_copy(update={"regime": "joint"}), {"rank": 8})
    code = entry.python_path.read_bytes()
    entry.python_path.write_bytes(code.replace(b"\n", b"\r\n"))
    assert digest == method_digest(entry, {"rank": 8}), "line endings are no change"
    entry.python_path.write_bytes(code + b"x = 1\n")
    assert digest != method_digest(entry, {"rank": 8})


def test_every_key_of_the_recipe_counts():
    others = {
        "optimizer": "sgd",
        "schedule": "cosine",
        "augmentation": "flip",
        "mixed_batches": True,
    }
    before = RECIPE.model_dump()
    for key, value in before.items():
        other = others[key] if key in others else (value or 0.0) + 1
        changed = RECIPE.model_copy(update={key: other})
        assert recipe_digest(changed) != recipe_digest(RECIPE), key


def test_a_task_is_its_data_its_preprocessing_its_output_and_its_metrics(task):
    before = mini(task)
    text = task.text.model_copy(update={"template": "other: {sentence}"})
    output = Classification(type="classification", labels=("yes", "no"))
    for change in (
        {"text": text},
        {"output": output},
        {"metrics": ("accuracy", "f1")},
    ):
        assert mini(task.model_copy(update=change)) != before, change
    assert task_digest(task, Scale.MINI, "other data", Recipe(), None) != before
    assert mini(task, Recipe(max_length=64)) != before


def test_a_task_is_not_its_prose_its_recipe_or_the_other_scale(task):
    before = mini(task)
    for change in ({"description": "x"}, {"licence": "x"}, {"official": {"train": 1}}):
        assert mini(task.model_copy(update=change)) == before, change
    assert mini(task, Recipe(steps=7, learning_rate=0.5)) == before
    assert mini(task, size=224) == before, "texts have no image size"


def test_the_image_size_counts_for_images(task):
    image = task.model_copy(update={"text": None, "modality": "image"})
    assert mini(image, size=24) != mini(image, size=32)
    assert mini(image, Recipe(max_length=64), 24) == mini(image, Recipe(max_length=32), 24)


@pytest.mark.parametrize(
    "change",
    [
        {"split_rule": "halve_validation"},
        {"splits": {"test": "validation"}},
        {"carve": 500},
        {"label": "target"},
        {"image": "picture"},
    ],
)
def test_the_split_counts_at_full_scale(task, change):
    assert full(task, **change) != full(task)


def test_a_backbone_is_its_weights_and_how_it_is_built(registry):
    entry = registry.backbones["bert_toy"]
    before = backbone_digest(entry, "weights")
    assert backbone_digest(entry, "other weights") != before
    for change in ({"pooling": "cls"}, {"image_size": 24}, {"mean": (0.0, 0.0, 0.0)}):
        assert backbone_digest(entry.model_copy(update=change), "weights") != before, change
    for change in ({"description": "x"}, {"licence": "x"}, {"name": "other"}):
        assert backbone_digest(entry.model_copy(update=change), "weights") == before, change


@dataclass(frozen=True)
class Cell:
    identity: Identity
    recipe: Recipe | None = None
    options: dict[str, OptionValue] = None


PARTS = {"method": "c.o", "recipe": "r", "tasks": {"rte": "t"}, "backbone": "b", "seed": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "x.o"}, "method code changed"),
        ({"method": "c.x"}, "options changed"),
        ({"recipe": "x"}, "recipe changed"),
        ({"tasks": {"rte": "x"}}, "task changed: rte"),
        ({"backbone": "x"}, "backbone changed"),
        ({"seed": 1}, "seed 0 -> 1"),
        ({"method": "x.o", "backbone": "x"}, "method code changed, backbone changed"),
    ],
)
def test_every_component_changes_the_digest_and_is_named(change, words):
    old, new = Cell(identity(**PARTS), None, {}), Cell(identity(**{**PARTS, **change}), None, {})
    assert old.identity.digest != new.identity.digest
    assert differences(old, new) == words


def test_an_older_scheme_is_named_and_nothing_else():
    new = identity(**PARTS)
    old = new.model_copy(update={"schema_version": 0, "digest": "x", "method": "y.z"})
    assert differences(Cell(old), Cell(new)) == "identity scheme changed: version 0 -> 1"


def test_equal_cells_do_not_differ():
    assert differences(Cell(identity(**PARTS)), Cell(identity(**PARTS))) == ""


def test_nothing_of_the_machine_is_in_the_identity():
    assert not set(Environment.model_fields) & set(Identity.model_fields)
    assert set(Identity.model_fields) == {*PARTS, "schema_version", "digest"}
