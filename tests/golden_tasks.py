"""Four easy tasks, two on images and two on texts, that belong to the golden cells alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from suite.mini import Columns, Splits

TRAIN = {"colour": 44, "amount": 26, "mood": 26, "overlap": 44}
"""Training examples: of unequal number, so that it matters how tasks are drawn."""
HELD_OUT = 24
"""Examples for validation, and for the test."""
SIDE = 24
"""Pixels of an image."""
NOUNS = ["cats", "dogs", "cows", "boats", "cars", "apples", "cherries", "donkeys"]
VERBS = {"likes": "enjoyed adored admired applauded", "harms": "despised attacked blamed dropped"}

TRACK = """\
schema: 1
name: {name}
description: Tasks of the golden cells.
modality: {modality}
tasks: [{tasks}]
backbones: {{mini: [{backbones}]}}
"""

TASK = """\
schema: 1
name: {name}
description: A task of the golden cells.
modality: {modality}
{more}
sources:
  mini: {{python: examples.py, function: {name}, version: 1, digest: {digest}}}
licence: Apache-2.0
"""

TRACKS = {
    "golden-images": ("image", ("colour", "amount"), "resnet_mini, densenet_mini, vit_mini"),
    "golden-texts": ("text", ("mood", "overlap"), "bert_mini, t5_mini"),
}

IMAGES, TEXTS = (
    tuple(f"{track}/{task}" for task in tasks) for track, (_, tasks, _) in TRACKS.items()
)

MORE = {
    "colour": """\
output: {type: classification, labels: [red, blue]}
metrics: [accuracy, f1, matthews]""",
    "amount": """\
output: {type: regression, minimum: 0, maximum: 1}
metrics: [pearson, spearman]""",
    "mood": """\
output: {type: classification, labels: [likes, harms, neither]}
metrics: [accuracy]
text: {columns: [sentence], template: "mood sentence: {sentence}"}""",
    "overlap": """\
output: {type: regression, minimum: 0, maximum: 5}
metrics: [pearson, spearman]
text: {columns: [one, two], template: "overlap one: {one} two: {two}"}""",
}


def write_tasks(folder: Path) -> None:
    """Both tracks as a registry's `tasks` folder."""
    for track, (modality, tasks, backbones) in TRACKS.items():
        own = folder / "tasks" / track
        own.mkdir(parents=True)
        shutil.copy(__file__, own / "examples.py")
        text = TRACK.format(
            name=track, modality=modality, tasks=", ".join(tasks), backbones=backbones
        )
        (own / "track.yaml").write_text(text)
        for task in tasks:
            digest = globals()[task]().digest()
            text = TASK.format(name=task, modality=modality, more=MORE[task], digest=digest)
            (own / f"{task}.yaml").write_text(text)


def colour() -> Splits:
    """Noise with more red or more blue."""

    def make(rng, count):
        label = rng.permutation(np.arange(count) % 2)
        image = rng.integers(0, 160, (count, SIDE, SIDE, 3))
        image[np.arange(count), :, :, 2 * label] += 90
        return {"image": image.astype(np.uint8), "label": label.astype(np.int64)}

    return _splits("colour", make)


def amount() -> Splits:
    """How much of the image a bright square covers."""

    def make(rng, count):
        side = rng.integers(2, SIDE, count)
        image = rng.integers(0, 120, (count, SIDE, SIDE, 3))
        for picture, length in zip(image, side, strict=True):
            picture[:length, SIDE - length :] += 130
        return {"image": image.astype(np.uint8), "label": (side / SIDE).astype(np.float32) ** 2}

    return _splits("amount", make)


def mood() -> Splits:
    """Whether somebody likes something, harms it or neither, in sentences of unequal length."""

    def make(rng, count):
        label = rng.permutation(np.arange(count) % 3)
        words = [*(text.split() for text in VERBS.values()), ["finds", "describes"]]
        sentences = []
        for kind in label:
            nouns = " and ".join(rng.choice(NOUNS, rng.integers(1, 6)))
            sentences.append(f"the farmer {rng.choice(words[kind])} {nouns}")
        return {"sentence": sentences, "label": label.astype(np.int64)}

    return _splits("mood", make)


def overlap() -> Splits:
    """The share of the words of two texts that stands in both, times five."""

    def make(rng, count):
        one, two, label = [], [], []
        for common in rng.integers(0, 6, count):
            words = rng.permutation(NOUNS)
            others = words[5 : 8 - common // 2]
            one.append(" ".join(words[:5]))
            two.append(" ".join([*words[:common], *others]))
            label.append(5 * common / (5 + len(others)))
        return {"one": one, "two": two, "label": np.array(label, np.float32)}

    return _splits("overlap", make)


def _splits(task: str, make: Callable[[np.random.Generator, int], Columns]) -> Splits:
    rng = np.random.Generator(np.random.PCG64(list(TRAIN).index(task)))
    return Splits(make(rng, TRAIN[task]), make(rng, HELD_OUT), make(rng, HELD_OUT))
