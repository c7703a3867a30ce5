from dataclasses import dataclass

import pytest
from registries import write_registry

from suite.planning.cell_code import Code
from suite.planning.identity import (
    FIRST_DEFAULTS,
    NO_CODE,
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
    return task_digest(task, Scale.MINI, "data", recipe, size, "metrics")


def full(task: TaskEntry, **source: object) -> str:
    hub = HubSource(hub="a/b", split_rule="carve_from_train", splits={"test": "test"})
    sources = task.sources.model_copy(update={"full": hub.model_copy(update=source)})
    return task_digest(
        task.model_copy(update={"sources": sources}), Scale.FULL, "data", Recipe(), None, "metrics"
    )


def test_a_method_is_its_regime_and_its_options(registry):
    entry = registry.methods["one"]
    digest = method_digest(entry, {"rank": 8})
    for change in ({"title": "x"}, {"notes": "y"}):
        assert digest == method_digest(entry.model_copy(update=change), {"rank": 8})
    assert digest != method_digest(entry, {"rank": 4})
    for change in ({"regime": "joint"}, {"task_prefix": True}):
        assert digest != method_digest(entry.model_copy(update=change), {"rank": 8})


def test_every_key_of_the_recipe_counts():
    others = {
        "optimizer": "sgd",
        "schedule": "cosine",
        "augmentation": "flip",
        "mixed_batches": True,
        "precision": "bfloat16",
    }
    before = RECIPE.model_dump()
    for key, value in before.items():
        other = others[key] if key in others else (value or 0.0) + 1
        changed = RECIPE.model_copy(update={key: other})
        assert recipe_digest(changed) != recipe_digest(RECIPE), key


def test_a_changed_default_counts_in_recipes_that_leave_it_out():
    class Decayed(Recipe):
        weight_decay: float = 0.01

    assert recipe_digest(Decayed()) == recipe_digest(Recipe(weight_decay=0.01))
    assert recipe_digest(Decayed()) != recipe_digest(Recipe())
    assert FIRST_DEFAULTS.keys() == Recipe.model_fields.keys(), "a new key's default stands there"


def test_a_key_at_its_default_is_as_if_it_did_not_exist(monkeypatch):
    class Longer(Recipe):
        added: bool = False

    monkeypatch.setitem(FIRST_DEFAULTS, "added", False)
    recipe = Recipe(steps=7, learning_rate=0.5)
    assert recipe_digest(Longer(steps=7, learning_rate=0.5)) == recipe_digest(recipe)
    assert recipe_digest(Longer(steps=7, learning_rate=0.5, added=True)) != recipe_digest(recipe)


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
    assert task_digest(task, Scale.MINI, "other data", Recipe(), None, "metrics") != before
    assert task_digest(task, Scale.MINI, "data", Recipe(), None, "other metrics") != before
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


CODE = Code("x", {"data": "d", "training": "t", "layers": "l", "method": "m"})
COMPONENTS = {
    "method": "o",
    "code": CODE,
    "recipe": "r",
    "tasks": {"rte": "t.m"},
    "backbone": "b",
    "seed": 0,
    "start": "",
}


def code(digest="y", **parts):
    return {"code": Code(digest, {**CODE.parts, **parts})}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (code(method="x"), "code changed: method"),
        (code(layers="x"), "code changed: layers"),
        (code(data="x", training="x"), "code changed: data and training"),
        (code(), "code changed"),
        ({"method": "x"}, "options changed"),
        ({"recipe": "x"}, "recipe changed"),
        ({"tasks": {"rte": "x.m"}}, "task changed: rte"),
        ({"tasks": {"rte": "t.x"}}, "code of metrics changed: rte"),
        ({"tasks": {"rte": "t.m", "cola": "t.m"}}, "tasks added: cola"),
        ({"backbone": "x"}, "backbone changed"),
        ({"seed": 1}, "seed 0 -> 1"),
        ({"start": "x"}, "what training starts from changed"),
        (code(layers="x") | {"backbone": "x"}, "code changed: layers, backbone changed"),
        ({"method": "o.unsupported", "code": NO_CODE}, "now unsupported"),
    ],
)
def test_every_component_changes_the_digest_and_is_named(change, words):
    old = Cell(identity(**COMPONENTS), None, {})
    new = Cell(identity(**{**COMPONENTS, **change}), None, {})
    assert old.identity.digest != new.identity.digest
    assert differences(old, new) == words


def test_parts_name_a_change_and_decide_nothing():
    moved = identity(**{**COMPONENTS, **code("x", layers="y", method="z")})
    assert moved.digest == identity(**COMPONENTS).digest


def test_an_older_scheme_is_named_and_nothing_else():
    new = identity(**COMPONENTS)
    old = new.model_copy(update={"schema_version": 1, "digest": "x", "method": "y.z"})
    assert differences(Cell(old), Cell(new)) == "identity scheme changed: version 1 -> 2"


def test_equal_cells_do_not_differ():
    assert differences(Cell(identity(**COMPONENTS)), Cell(identity(**COMPONENTS))) == ""


def test_nothing_of_the_machine_is_in_the_identity():
    assert not set(Environment.model_fields) & set(Identity.model_fields)
    assert set(Identity.model_fields) == {*COMPONENTS, "parts", "schema_version", "digest"}
