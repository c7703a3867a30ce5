"""The miniature GLUE: frozen by digest, well-formed, disjoint, and not solved by single words."""

import importlib.util
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from suite.mini import Splits
from suite.mini.dice import Dice
from suite.mini.language import ask, event, reserved, words_of
from suite.mini.phrases import corrupt

FOLDER = Path(__file__).parents[2] / "tasks" / "glue"
NAMES = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte")
CLASSES = [name for name in NAMES if name != "stsb"]


@cache
def entry(name: str) -> dict:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


@cache
def module():
    spec = importlib.util.spec_from_file_location("glue_mini", FOLDER / "mini.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@cache
def splits(name: str) -> Splits:
    return getattr(module(), entry(name)["sources"]["mini"]["function"])()


def rows(name: str, split: str) -> list[tuple[str, ...]]:
    columns = getattr(splits(name), split)
    return list(zip(*(columns[key] for key in entry(name)["text"]["columns"]), strict=True))


def tokens(row: tuple[str, ...]) -> str:
    return " ".join(
        f"{i}_{word.strip('.,?').lower()}" for i, text in enumerate(row) for word in text.split()
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_the_one_its_yaml_froze(name):
    assert splits(name).digest() == entry(name)["sources"]["mini"]["digest"]


@pytest.mark.parametrize("name", NAMES)
def test_sizes_follow_from_those_of_the_real_task(name):
    official = entry(name)["official"]["train"]
    own = splits(name)
    assert len(own.train["label"]) == min(4000, round(8 * official**0.5, -1))
    assert len(own.validation["label"]) == 300
    assert len(own.test["label"]) == 2000


@pytest.mark.parametrize("name", ["cola", "stsb", "rte"])
def test_other_splits_have_no_say_in_the_test_examples(name, monkeypatch):
    monkeypatch.setattr(module(), "training_examples", lambda task: 120)
    monkeypatch.setattr(module(), "VALIDATION", 40)
    other = getattr(module(), name)()
    assert len(other.train["label"]) == 120
    for column, values in splits(name).test.items():
        assert np.array_equal(values, other.test[column])


@pytest.mark.parametrize("name", NAMES)
def test_columns_and_labels_are_those_of_the_real_task(name):
    output = entry(name)["output"]
    for split in ("train", "validation", "test"):
        columns = getattr(splits(name), split)
        assert set(columns) == {*entry(name)["text"]["columns"], "label"}
        assert len({len(column) for column in columns.values()}) == 1
        label = columns["label"]
        if output["type"] == "regression":
            assert label.dtype == np.float32
            assert output["minimum"] <= label.min() < label.max() <= output["maximum"]
            np.testing.assert_allclose(label * 5, np.round(label * 5), atol=1e-4)
        else:
            assert label.dtype == np.int64
            assert set(label.tolist()) == set(range(len(output["labels"])))


@pytest.mark.parametrize("name", CLASSES)
def test_no_class_holds_more_than_seventy_percent(name):
    for split in ("train", "validation", "test"):
        label = getattr(splits(name), split)["label"]
        assert np.bincount(label).max() / len(label) < 0.7


@pytest.mark.parametrize("name", NAMES)
def test_the_splits_share_no_example(name):
    parts = [set(rows(name, split)) for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert sum(map(len, parts)) == sum(len(rows(name, s)) for s in ("train", "validation", "test"))


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_is_reserved_from_pretraining(name):
    assert all(
        reserved(text)
        for split in ("train", "validation", "test")
        for row in rows(name, split)
        for text in row
    )


@pytest.mark.parametrize("name", NAMES)
def test_single_words_do_not_solve_a_task(name):
    vectorizer = CountVectorizer(token_pattern=r"\S+")
    train = vectorizer.fit_transform(map(tokens, rows(name, "train")))
    test = vectorizer.transform(map(tokens, rows(name, "test")))
    label, truth = splits(name).train["label"], splits(name).test["label"]
    if name == "stsb":
        predicted = Ridge(10.0).fit(train, label).predict(test)
        assert np.corrcoef(predicted, truth)[0, 1] < 0.5
    else:
        accuracy = LogisticRegression(max_iter=500).fit(train, label).score(test, truth)
        assert accuracy < 0.85


def test_two_dogs_are_no_fault_of_the_two_dogs():
    dice = Dice(0)
    for _ in range(1000):
        words = words_of(dice, event(dice, number=0.5))
        sound = [
            words[:i] + words[i + 1 :]
            for i, (one, two) in enumerate(pairwise(words))
            if one[1] == "the" and two[1] == "number"
        ]
        assert corrupt(dice, words) not in sound


@pytest.mark.parametrize("slot", ["agent", "patient", "place", "time", "manner", "truth"])
def test_questions_that_differ_in_qqp_differ_in_what_they_ask(slot):
    """A question for the agent says nothing of how many there are."""
    glue, dice = module(), Dice(0)
    for _ in range(600):
        fact = event(dice, modifiers=0.3, negated=0.1)
        other = glue._distorted(dice, fact, untouched=slot)
        seed = dice.below(2**32)
        assert ask(Dice(seed), fact, slot) != ask(Dice(seed), other, slot)
