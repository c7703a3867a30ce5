"""The visual-domains tasks at mini scale: real digits and photographs, and five drawn domains.

Every function returns the frozen version of its task, 24 x 24 pixels in colour. A change to any
pixel changes the digest in the task's YAML and asks for a new version.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from numpy.random import Generator
from PIL import Image

from suite.mini import Columns, Splits, images, objects, symbols
from suite.mini.images import Pose

SIZE = 24
TEST = 2000
# Only PNG files: they decode to the same pixels everywhere, JPEG files do not.
PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "clock_motion", "coffee", "coins", "grass",
    "gravel", "ihc", "motorcycle_left", "page",
)  # fmt: skip

FLAT = 0.02
"""Standard deviation of the grey values of a patch that shows nothing."""


def digits() -> Splits:
    """Scikit-learn's 8 x 8 handwritten digits, three times larger, in any ink on any paper.

    The data set is finite: all digits that are neither for training nor for validation are test
    examples, as many of every class.
    """
    order = images.generator(1101)
    data = sklearn.datasets.load_digits()
    shuffled = [order.permutation(np.flatnonzero(data.target == label)) for label in range(10)]

    def draw(rng: Generator, count: int, skipped: int) -> list[np.ndarray]:
        by_class = []
        for numbers in shuffled:
            chosen = numbers[skipped : skipped + count]
            paper = images.colours(rng, len(chosen)) + np.zeros((len(chosen), SIZE, SIZE, 1))
            ink = images.contrasting(rng, paper, 0.5)
            written = images.paint(paper, ink, _enlarge(data.images[chosen] / 16))
            by_class.append(images.expose(rng, written, noise=0.04, contrast=0.3))
        return by_class

    rest = min(map(len, shuffled)) - 100
    return Splits(
        *_dealt(order, draw(order, 100, 0), 80),
        _columns(test := _test_stream(1101), draw(test, rest, 100)),
    )


def photographs() -> Splits:
    """Which photograph a small grey patch was cut from; the splits use disjoint regions."""
    rng, test = images.generator(1102), _test_stream(1102)
    folder = Path(skimage.__file__).parent / "data"
    parts = {"train": [], "validation": [], "test": []}
    for name in PHOTOGRAPHS:
        with Image.open(folder / f"{name}.png") as file:
            photograph = np.asarray(file.convert("RGB"), dtype=np.float64) / 255
        tiles = regions(photograph, side=60)
        # Regions that show nothing are not dealt: of a blurred photograph, one split could
        # get only these.
        tiles = tiles[tiles.mean(-1).std((1, 2)) > FLAT]
        order = rng.permutation(len(tiles))
        first = len(order) // 2
        second = first + max(1, len(order) // 6)
        for split, stream, count, share in (
            ("train", rng, 66, order[:first]),
            ("validation", rng, 14, order[first:second]),
            ("test", test, _per_class(len(PHOTOGRAPHS)), order[second:]),
        ):
            parts[split].append(_patches(stream, tiles[share], count))
    streams = {"train": rng, "validation": rng, "test": test}
    return Splits(
        **{split: _columns(streams[split], by_class) for split, by_class in parts.items()}
    )


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

    def draw(rng: Generator, count: int) -> list[np.ndarray]:
        return [symbols.street_signs(rng, name, count, SIZE) for name in symbols.SIGNS]

    return _splits(1106, draw, train=66, validation=13, test=_per_class(12))


def glyphs() -> Splits:
    """Twenty characters of an imaginary script in many hands."""
    script = symbols.script(images.generator(1107), 5)

    def draw(rng: Generator, count: int) -> list[np.ndarray]:
        return [symbols.handwriting(rng, shape, count, SIZE) for shape in script]

    return _splits(1117, draw, train=40, validation=8, test=_per_class(20))


def _objects(seed: int, hand: objects.Hand) -> Splits:
    pose = Pose(scale=(0.55, 0.9), turn=0.35, shear=0.2, shift=0.2, jitter=0.05)

    def draw(rng: Generator, count: int) -> list[np.ndarray]:
        return list(objects.draw(rng, hand, count, SIZE, pose).values())

    return _splits(seed, draw, train=80, validation=18, test=_per_class(10))


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
        if spread > FLAT:
            patches.append(0.5 + (patch - patch.mean()) * rng.uniform(0.12, 0.25) / spread)
    grey = np.stack(patches)[..., None].repeat(3, -1)
    return images.expose(rng, grey, noise=0.02, contrast=0.2)


def _splits(
    seed: int,
    draw: Callable[[Generator, int], list[np.ndarray]],
    train: int,
    validation: int,
    test: int,
) -> Splits:
    """So many images of every class for each split; `draw` makes images of every class."""
    rng, own = images.generator(seed), _test_stream(seed)
    dealt = _dealt(rng, draw(rng, train + validation), train)
    return Splits(*dealt, _columns(own, draw(own, test)))


def _dealt(rng: Generator, by_class: Sequence[np.ndarray], train: int) -> tuple[Columns, Columns]:
    """The first `train` images of every class for training, the others for validation."""
    return (
        _columns(rng, [drawn[:train] for drawn in by_class]),
        _columns(rng, [drawn[train:] for drawn in by_class]),
    )


def _test_stream(seed: int) -> Generator:
    """Draws test images and nothing else, so that no other split has a say in them."""
    return images.generator(seed + 1000)


def _per_class(classes: int) -> int:
    """Test images of each class, for `TEST` in all or a few more."""
    return -(-TEST // classes)


def _columns(rng: Generator, by_class: Sequence[np.ndarray]) -> Columns:
    """Label and shuffle."""
    label = np.repeat(np.arange(len(by_class)), [len(values) for values in by_class])
    order = rng.permutation(len(label))
    return {"image": np.concatenate(by_class)[order], "label": label[order].astype(np.int64)}
