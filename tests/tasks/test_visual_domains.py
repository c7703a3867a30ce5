import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from suite.mini import images, patterns

FOLDER = Path(__file__).parents[2] / "tasks" / "visual-domains"
TRACK = yaml.safe_load((FOLDER / "track.yaml").read_text())
SPLITS = ("train", "validation", "test")


@cache
def module():
    spec = importlib.util.spec_from_file_location("visual_domains_mini", FOLDER / "mini.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@cache
def entry(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


@cache
def splits(name):
    return getattr(module(), entry(name)["sources"]["mini"]["function"])()


def rows(pixels):
    return {image.tobytes() for image in pixels}


every_task = pytest.mark.parametrize("name", TRACK["tasks"])


def test_the_track_names_exactly_its_files():
    files = {path.stem for path in FOLDER.glob("*.yaml")} - {"track"}
    assert files == set(TRACK["tasks"])


@every_task
def test_the_generator_still_makes_the_frozen_version(name):
    assert splits(name).digest() == entry(name)["sources"]["mini"]["digest"]


@every_task
def test_columns_have_the_promised_form(name):
    classes = len(entry(name)["output"]["labels"])
    for split in SPLITS:
        columns = getattr(splits(name), split)
        assert set(columns) == {"image", "label"}
        assert columns["image"].dtype == np.uint8
        assert columns["image"].shape == (len(columns["label"]), 24, 24, 3)
        assert columns["label"].dtype == np.int64
        counts = np.bincount(columns["label"], minlength=classes)
        assert len(counts) == classes
        assert counts.min() == counts.max()


@every_task
def test_no_image_is_in_two_splits(name):
    train, validation, test = (rows(getattr(splits(name), split)["image"]) for split in SPLITS)
    assert not train & test
    assert not validation & test
    assert not train & validation


@every_task
def test_there_are_two_thousand_test_images_where_they_are_drawn(name):
    count = len(splits(name).test["label"])
    assert count == 740 if name == "digits" else 2000 <= count < 2012


def test_other_splits_have_no_say_in_the_test_images():
    def draw(rng, count):
        return [rng.integers(0, 256, (count, 2, 2, 3)).astype(np.uint8) for _ in range(3)]

    few, more = (module()._splits(5, draw, train, 4, 50) for train in (6, 9))
    assert np.array_equal(few.test["image"], more.test["image"])
    assert not rows(few.test["image"]) & rows(few.train["image"])


@every_task
def test_labels_are_shuffled(name):
    label = splits(name).train["label"]
    assert (np.diff(label) != 0).mean() > 0.7


def test_patches_of_different_splits_share_no_pixel_of_a_photograph():
    pixels = np.arange(130 * 190 * 3).reshape(130, 190, 3)
    regions = module().regions(pixels, side=60)
    assert len(regions) == 2 * 3
    assert len(np.unique(regions)) == regions.size


def test_pretraining_shares_no_image_with_a_task():
    pretraining = rows(patterns.patterns(images.generator(1), 20, 24)[0])
    for name in TRACK["tasks"]:
        for split in SPLITS:
            assert not pretraining & rows(getattr(splits(name), split)["image"])
