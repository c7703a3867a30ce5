"""The visual-domains tasks at mini scale: real digits and photographs, and five drawn domains.

Every function returns the frozen version 1 of its task, 24 x 24 pixels in colour. A change to any
pixel changes the digest in the task's YAML and asks for a new version.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from numpy.random import Generator
from PIL import Image

from suite.mini import Columns, Splits, images, objects, symbols
from suite.mini.images import Pose

SIZE = 24
# Only PNG files: they decode to the same pixels everywhere, JPEG files do not.
PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "clock_motion", "coffee", "coins", "grass",
    "gravel", "ihc", "motorcycle_left", "page",
)  # fmt: skip


def digits() -> Splits:
    """Scikit-learn's 8 x 8 handwritten digits, three times larger, in any ink on any paper."""
    rng = images.generator(1101)
    data = sklearn.datasets.load_digits()
    by_class = []
    for label in range(10):
        chosen = rng.permutation(np.flatnonzero(data.target == label))[:140]
        paper = images.colours(rng, len(chosen)) + np.zeros((len(chosen), SIZE, SIZE, 1))
        ink = images.contrasting(rng, paper, 0.5)
        written = images.paint(paper, ink, _enlarge(data.images[chosen] / 16))
        by_class.append(images.expose(rng, written, noise=0.04, contrast=0.3))
    return _splits(rng, by_class, train=80, validation=20, test=40)


def photographs() -> Splits:
    """Which photograph a small grey patch was cut from; the splits use disjoint regions."""
    rng = images.generator(1102)
    folder = Path(skimage.__file__).parent / "data"
    parts = {"train": [], "validation": [], "test": []}
    for name in PHOTOGRAPHS:
        with Image.open(folder / f"{name}.png") as file:
            photograph = np.asarray(file.convert("RGB"), dtype=np.float64) / 255
        tiles = regions(photograph, side=60)
        order = rng.permutation(len(tiles))
        first, second = len(order) // 2, len(order) // 2 + len(order) // 6
        for split, count, share in (
            ("train", 66, order[:first]),
            ("validation", 14, order[first:second]),
            ("test", 32, order[second:]),
        ):
            parts[split].append(_patches(rng, tiles[share], count))
    return Splits(**{split: _columns(rng, by_class) for split, by_class in parts.items()})


def sketches() -> Splits:
    """Ten everyday objects as pencil and chalk drawings."""
    return _objects(1103, objects.pencil)


def cliparts() -> Splits:
    """The same ten objects as clip art."""
    return _objects(1104, objects.scissors)


def paintings() -> Splits:
    """The same ten objects as paintings."""
    return _objects(1105, objects.brush)


def traffic_signs() -> Splits:
    """Twelve traffic signs, worn, badly lit and out of focus."""
    rng = images.generator(1106)
    by_class = [symbols.street_signs(rng, name, 112, SIZE) for name in symbols.SIGNS]
    return _splits(rng, by_class, train=66, validation=13, test=33)


def glyphs() -> Splits:
    """Twenty characters of an imaginary script in many hands."""
    rng = images.generator(1107)
    by_class = [symbols.handwriting(rng, shape, 68, SIZE) for shape in symbols.script(rng, 5)]
    return _splits(rng, by_class, train=40, validation=8, test=20)


def _objects(seed: int, hand: objects.Hand) -> Splits:
    rng = images.generator(seed)
    pose = Pose(scale=(0.55, 0.9), turn=0.35, shear=0.2, shift=0.2, jitter=0.05)
    drawn = objects.draw(rng, hand, 140, SIZE, pose)
    return _splits(rng, list(drawn.values()), train=80, validation=18, test=42)


def _enlarge(small: np.ndarray) -> np.ndarray:
    """Interpolate linearly: [n, 8, 8] -> [n, 24, 24]."""
    position = np.clip((np.arange(SIZE) + 0.5) / 3 - 0.5, 0, 7)
    left = np.minimum(position.astype(np.int64), 6)
    weights = np.zeros((SIZE, 8))
    weights[np.arange(SIZE), left] = 1 - (position - left)
    weights[np.arange(SIZE), left + 1] = position - left
    return weights @ small @ weights.T


def regions(photograph: np.ndarray, side: int) -> np.ndarray:
    """Cut a photograph [H, W, 3] into squares that share no pixel: [n, side, side, 3]."""
    rows, columns = (length // side for length in photograph.shape[:2])
    tiles = photograph[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return tiles.swapaxes(1, 2).reshape(-1, side, side, 3)


def _patches(rng: Generator, tiles: np.ndarray, count: int) -> np.ndarray:
    """Cut `count` patches from the tiles, half of the time at half resolution; grey, uint8."""
    patches = []
    while len(patches) < count:
        tile = tiles[rng.integers(len(tiles))].mean(-1)
        step = int(rng.integers(1, 3))
        y, x = rng.integers(0, len(tile) - step * SIZE + 1, 2)
        patch = tile[y : y + step * SIZE, x : x + step * SIZE]
        patch = patch.reshape(SIZE, step, SIZE, step).mean((1, 3))
        spread = patch.std()
        if spread > 0.02:
            patches.append(0.5 + (patch - patch.mean()) * rng.uniform(0.12, 0.25) / spread)
    grey = np.stack(patches)[..., None].repeat(3, -1)
    return images.expose(rng, grey, noise=0.02, contrast=0.2)


def _splits(
    rng: Generator, by_class: Sequence[np.ndarray], train: int, validation: int, test: int
) -> Splits:
    """Deal the images of every class to the three splits, the same number for every class."""
    ends = np.cumsum([train, validation, test])
    dealt = [np.split(values, ends)[:3] for values in by_class]
    return Splits(*(_columns(rng, [parts[k] for parts in dealt]) for k in range(3)))


def _columns(rng: Generator, by_class: Sequence[np.ndarray]) -> Columns:
    """Label and shuffle."""
    label = np.repeat(np.arange(len(by_class)), [len(values) for values in by_class])
    order = rng.permutation(len(label))
    return {"image": np.concatenate(by_class)[order], "label": label[order].astype(np.int64)}
