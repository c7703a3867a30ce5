"""Data as they are read: official columns, honest splits, and a word wherever rows are missing."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from toy import write_tasks

from suite.data.sources import departure, load_splits
from suite.errors import UserError
from suite.registry import load
from suite.registry.schema import Scale, TaskEntry


def text_task(rule, splits=None, official=None, **source):
    return TaskEntry(
        schema=1,
        name="pairs",
        track="toy",
        description="For tests.",
        modality="text",
        output={"type": "classification", "labels": ["no", "yes"]},
        metrics=["accuracy"],
        text={"columns": ["sentence"], "template": "{sentence}"},
        sources={"full": {"hub": "me/pairs", "split_rule": rule, "splits": splits or {}, **source}},
        official=official or {},
        licence="none",
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "datasets" / "me" / "pairs" / "default"


def write(folder, split, rows, label=None):
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        {
            "sentence": [f"{split} {row}" for row in range(rows)],
            "label": label if label is not None else np.arange(rows) % 2,
        }
    )
    frame.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def test_half_of_validation_is_test_and_no_row_is_lost(folder):
    write(folder, "train", 30)
    write(folder, "validation", 21)
    splits = load_splits(text_task("halve_validation"), Scale.FULL, None)
    assert len(splits.train["label"]) == 30
    halves = [*splits.validation["sentence"], *splits.test["sentence"]]
    assert sorted(halves) == sorted(f"validation {row}" for row in range(21))
    assert abs(len(splits.validation["label"]) - len(splits.test["label"])) == 1


def test_rows_carved_for_validation_never_train(folder):
    write(folder, "train", 50)
    write(folder, "validation", 20)
    task = text_task("carve_from_train", splits={"test": "validation"}, carve=10)
    splits = load_splits(task, Scale.FULL, None)
    assert len(splits.validation["sentence"]) == 10
    assert not set(splits.train["sentence"]) & set(splits.validation["sentence"])
    assert len(splits.train["sentence"]) == 40
    assert splits.test["sentence"] == [f"validation {row}" for row in range(20)]


def test_labels_stay_with_their_texts(folder):
    write(folder, "train", 40)
    write(folder, "validation", 20)
    splits = load_splits(text_task("halve_validation"), Scale.FULL, None)
    for columns in (splits.train, splits.validation, splits.test):
        for text, label in zip(columns["sentence"], columns["label"], strict=True):
            assert int(text.split()[1]) % 2 == label


def test_hidden_labels_are_refused(folder):
    write(folder, "train", 10)
    write(folder, "validation", 10, label=-np.ones(10, int))
    with pytest.raises(UserError, match=r"class -1.*drop_labels: \[-1\]"):
        load_splits(text_task("halve_validation"), Scale.FULL, None)


def test_a_missing_column_names_those_that_exist(folder):
    write(folder, "train", 10)
    write(folder, "validation", 10)
    with pytest.raises(UserError, match="no column answer; it has sentence, label"):
        load_splits(text_task("halve_validation", label="answer"), Scale.FULL, None)


def test_a_subset_is_recognised():
    task = text_task("halve_validation", official={"train": 2490, "validation": 277})
    assert departure(task, Scale.FULL, 2490, 139, 138) == ""
    note = departure(task, Scale.FULL, 500, 139, 138)
    assert note == "not the official data: train has 500 of 2,490 rows"
    assert departure(task, Scale.MINI, 500, 139, 138) == ""


def test_images_are_cut_to_the_backbones_size(folder):
    def encoded(width, height, dark):
        image = np.full((height, width, 3), dark, np.uint8)
        image[:, width // 2 :] = 255
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        return {"bytes": file.getvalue(), "path": None}

    folder.mkdir(parents=True)
    for dark, split in enumerate(("train", "validation", "test")):
        rows = [encoded(40, 20, dark), encoded(20, 40, dark), encoded(8, 8, dark)]
        frame = pd.DataFrame({"image": rows, "label": [0, 1, 0]})
        frame.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    task = text_task("named").model_copy(update={"modality": "image", "text": None})
    pictures = load_splits(task, Scale.FULL, 16).train["image"]
    (images,) = pictures.chunks()
    assert images.shape == pictures.shape == (3, 16, 16, 3)
    assert images.dtype == np.uint8
    # The central square of a wide image keeps the edge in the middle.
    assert (images[:, 8, 1] < 20).all()
    assert (images[:, 8, 14] > 235).all()


def test_generated_examples_are_those_of_the_digest(tmp_path, monkeypatch):
    """Identities know them by it: nothing may change them after it was compared."""
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path)
    task = load(tmp_path).tasks["colours/reds"]
    assert load_splits(task, Scale.MINI, 24).digest() == task.sources.at(Scale.MINI).digest
