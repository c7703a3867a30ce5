"""What docs/data.md says of data that are downloaded by hand leads to what is read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suite.data.sources import load_splits
from suite.registry import load
from suite.registry.schema import Scale

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
REGISTRY = load()


def code(name):
    """The block of code behind a comment of the page."""
    return re.search(f"<!-- {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUITE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_the_table_names_everything_that_is_not_on_the_hub():
    table = PAGE.split("## What must be downloaded by hand")[1].split("###")[0]
    sources = [task.sources.full for task in REGISTRY.tasks.values() if task.sources.full]
    for source in sources:
        if source.local_only:
            assert f"| `{source.hub}` |" in table, source.hub
            assert f"`{source.hub}/" in table, source.hub
    for backbone in REGISTRY.backbones.values():
        if backbone.source.local_only:
            assert f"`{backbone.name}`" in table, backbone.name
            assert f"`{backbone.source.id}/" in table, backbone.name


def draw(path, value, green=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24), (value, green, 0)).save(path)


def test_lists_become_what_the_tasks_of_vtab_read(data):
    made: dict = {}
    exec(code("lists").split("\nwrite(")[0], made)
    files = {"train": "train800", "validation": "val200", "test": "test"}
    labels = {split: [(first + i) % 4 for i in range(8)] for first, split in enumerate(files)}
    for number, (split, name) in enumerate(files.items()):
        lines = []
        for i, label in enumerate(labels[split]):
            image = f"images/{name}/{i:06d}.png"
            draw(Path("kitti", image), 80 * number + 10 * i)
            lines.append(f"{image} {label}\n")
        Path("kitti", f"{name}.txt").write_text("".join(lines))
        pairs = made["listed"](f"kitti/{name}.txt")
        made["write"]("kitti", pairs, f"vtab-1k/kitti_distance/{split}")
    splits = load_splits(REGISTRY.tasks["vtab-1k/kitti_distance"], Scale.FULL, 16)
    for number, split in enumerate(files):
        found = getattr(splits, split)
        assert np.array(found["label"]).tolist() == labels[split]
        (images,) = found["image"].chunks()
        assert images[:, 0, 0, 0].tolist() == [80 * number + 10 * i for i in range(8)]


def test_folders_become_what_the_tasks_of_piggyback_read(data):
    made: dict = {}
    exec(code("lists").split("\nwrite(")[0], made)
    task = REGISTRY.tasks["imagenet-to-sketch/flowers"]
    names = [f"{number:03d}" for number in range(len(task.output.labels))]
    for first, split in enumerate(("train", "test")):
        # The task takes 200 of the rows of train for validation.
        for number, name in enumerate(names):
            for copy in range(1 if split == "test" else 3):
                draw(Path("flowers", split, name, f"{copy}.png"), number, 200 * first)
        pairs = made["folders"](f"flowers/{split}")
        made["write"](f"flowers/{split}", pairs, f"imagenet-to-sketch/flowers/{split}")
    splits = load_splits(task, Scale.FULL, 16)
    assert np.array(splits.test["label"]).tolist() == [*range(len(names))]
    (images,) = splits.test["image"].chunks()
    assert images[:, 0, 0].tolist() == [[number, 200, 0] for number in range(len(names))]


def test_annotations_of_the_decathlon_are_numbered_from_zero(data):
    made: dict = {}
    exec(code("lists").split("\nwrite(")[0], made)
    content = {
        "images": [{"id": 7, "file_name": "data/dtd/val/1.jpg"}, {"id": 8, "file_name": "2.jpg"}],
        "annotations": [{"image_id": 8, "category_id": 42}, {"image_id": 7, "category_id": 41}],
        "categories": [{"id": 40}, {"id": 41}, {"id": 42}],
    }
    Path("dtd_val.json").write_text(json.dumps(content))
    assert [*made["annotated"]("dtd_val.json")] == [("2.jpg", 2), ("data/dtd/val/1.jpg", 1)]
