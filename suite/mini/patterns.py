"""The broad image distribution that the mini vision backbones are pretrained on.

96 categories of structure, each drawn in any colours, contrast, sharpness and lighting: gratings,
lattices, kinds of noise, closed curves, scaffolds of straight sticks, counts and arrangements. No
category, outline or seed is shared with a task.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.random import Generator

from suite.mini import images
from suite.mini.images import Array, Pose

Structure = Callable[[Generator, int, int], Array]
"""(rng, n, size) -> how much ink each pixel has, [n, size, size] in [0, 1]."""

_SEED = 20240
_CURVES = 28
_SCAFFOLDS = 20


def _turned(rng: Generator, n: int, size: int, angle: float, spread: float) -> tuple[Array, Array]:
    """Pixel coordinates seen from the centre, turned by `angle` +- `spread` radians."""
    grid = images.pixel_grid(rng, n, size, 0.4) - size / 2
    turn = angle + images.uniform(rng, -spread, spread, n)
    cosine, sine = np.cos(turn), np.sin(turn)
    return (
        cosine * grid[..., 0] + sine * grid[..., 1],
        cosine * grid[..., 1] - sine * grid[..., 0],
    )


def _wave(rng: Generator, position: Array, period: float) -> Array:
    """Cosine of a position in pixels, with a random phase and nearly that period."""
    n = len(position)
    stretch = period * images.uniform(rng, 0.88, 1.12, n)
    return np.cos(2 * np.pi * (position / stretch + images.uniform(rng, 0, 1, n)))


def _soft(values: Array) -> Array:
    """Bring waves and noise, about [-1, 1], to ink, [0, 1]."""
    return np.clip(0.5 + 0.5 * values, 0, 1)


def _hard(values: Array) -> Array:
    return np.clip(0.5 + 3 * values, 0, 1)


def _grating(
    rng: Generator, n: int, size: int, angle: float, period: float, shape: Callable[[Array], Array]
) -> Array:
    return shape(_wave(rng, _turned(rng, n, size, angle, 0.2)[0], period))


def _lattice(rng: Generator, n: int, size: int, kind: str, period: float) -> Array:
    x, y = _turned(rng, n, size, 0.0, 0.4)
    if kind == "checker":
        return _hard(_wave(rng, x, period) * _wave(rng, y, period))
    if kind == "dots":
        return _hard(_wave(rng, x, period) + _wave(rng, y, period) - 0.8)
    if kind == "mesh":
        return _hard(np.maximum(_wave(rng, x, period), _wave(rng, y, period)) - 0.7)
    if kind == "zigzag":
        return _hard(_wave(rng, x + 1.2 * np.abs(_wave(rng, y, 2 * period)) * period / 2, period))
    centre = images.uniform(rng, -4, 4, n), images.uniform(rng, -4, 4, n)
    x, y = x - centre[0], y - centre[1]
    if kind == "rings":
        return _hard(_wave(rng, np.sqrt(x * x + y * y), period))
    turns = np.arctan2(y, x) / (2 * np.pi)
    if kind == "rays":
        return _hard(np.cos(2 * np.pi * (period * turns + images.uniform(rng, 0, 1, n))))
    radius = np.sqrt(x * x + y * y)
    return _hard(np.cos(2 * np.pi * (radius / period + turns + images.uniform(rng, 0, 1, n))))


def _noise(
    rng: Generator, n: int, size: int, octaves: tuple[int, ...], shape: Callable[[Array], Array]
) -> Array:
    return shape(images.fractal_noise(rng, n, size, octaves))


def _streaks(rng: Generator, n: int, size: int, axis: int) -> Array:
    fine = images.smooth_noise(rng, n, 4 * size, 16)
    return _soft(fine.reshape(n, size, 4, 4 * size).mean(2)[:, :, :size].swapaxes(1, axis))


def _curve(rng: Generator, n: int, size: int, index: int) -> Array:
    """Closed curve r(t) = 1 + sum of harmonics, filled or as a line."""
    shape = images.generator(_SEED + index)
    angle = 2 * np.pi * np.arange(18) / 18
    radius = 1 + sum(
        shape.uniform(0.1, 0.45) * np.cos(k * angle + shape.uniform(0, 2 * np.pi))
        for k in shape.choice([1, 2, 3, 4, 5], 3, replace=False)
    )
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    outline = outline / np.abs(outline).max()
    pose = Pose(scale=(0.5, 0.95), turn=0.4, shear=0.2, shift=0.25).sample(rng, n)
    grid = images.pixel_grid(rng, n, size, 0.4)
    distance = images.polygon_distance(images.place(rng, outline, pose, 0.02, size), grid)
    filled = rng.uniform(0, 1, (n, 1, 1)) < 0.5
    line = images.coverage(np.abs(distance), images.uniform(rng, 0.3, 0.8, n))
    return np.where(filled, images.coverage(distance), line)


def _scaffold(rng: Generator, n: int, size: int, index: int) -> Array:
    """Three or four straight sticks in a fixed arrangement."""
    shape = images.generator(_SEED + 500 + index)
    sticks = shape.uniform(-0.9, 0.9, (int(shape.integers(3, 5)), 2, 2))
    pose = Pose(scale=(0.55, 0.95), turn=0.3, shear=0.2, shift=0.2).sample(rng, n)
    grid = images.pixel_grid(rng, n, size, 0.3)
    width = images.uniform(rng, 0.4, 1.2, n)
    ink = np.zeros((n, size, size))
    for stick in sticks:
        points = images.place(rng, stick, pose, 0.05, size)
        ink = np.maximum(ink, images.coverage(images.stroke_distance(points, grid), width))
    return ink


def _disc(grid: Array, centre: Array, radius: Array) -> Array:
    offset = grid - centre
    return images.coverage(np.sqrt((offset * offset).sum(-1)), radius)


def _count(rng: Generator, n: int, size: int, count: int) -> Array:
    """`count` discs of one size on different squares of a 3 x 3 board."""
    grid = images.pixel_grid(rng, n, size, 0.4)
    squares = np.argsort(rng.uniform(0, 1, (n, 9)), 1)[:, :count]
    radius = images.uniform(rng, 1.2, 3.2, n)
    ink = np.zeros((n, size, size))
    for k in range(count):
        cell = np.stack([squares[:, k] % 3, squares[:, k] // 3], -1) + rng.uniform(
            0.35, 0.65, (n, 2)
        )
        ink = np.maximum(ink, _disc(grid, (cell * size / 3)[:, None, None], radius))
    return ink


def _beside(rng: Generator, n: int, size: int, angle: float) -> Array:
    """A small disc beside a large ring, in the direction `angle`."""
    grid = images.pixel_grid(rng, n, size, 0.4)
    centre = size / 2 + rng.uniform(-2, 2, (n, 1, 1, 2))
    turn = angle + rng.uniform(-0.35, 0.35, (n, 1, 1))
    away = np.stack([np.cos(turn), np.sin(turn)], -1) * size * 0.28
    large, small = images.uniform(rng, 3.5, 5.5, n), images.uniform(rng, 1.2, 2.2, n)
    ring = _disc(grid, centre - away / 2, large) - _disc(grid, centre - away / 2, large - 1.5)
    return np.maximum(ring, _disc(grid, centre + away, small))


def _horizon(rng: Generator, n: int, size: int) -> Array:
    _, y = _turned(rng, n, size, 0.0, 0.2)
    return images.coverage(y + images.smooth_noise(rng, n, size, 4), images.uniform(rng, -6, 6, n))


@cache
def categories() -> tuple[Structure, ...]:
    """Return the categories in the order of their labels."""
    quarter = np.pi / 4
    listed: list[Structure] = [
        partial(_grating, angle=k * quarter, period=period, shape=shape)
        for k in range(4)
        for period in (3.6, 6.5)
        for shape in (_soft, _hard)
    ]
    listed += [
        partial(_lattice, kind=kind, period=period)
        for kind, periods in {
            "checker": (5, 9), "dots": (4, 7), "mesh": (5, 9), "zigzag": (4, 7),
            "rings": (4, 7), "rays": (4, 7), "spiral": (5, 9),
        }.items()
        for period in periods
    ]  # fmt: skip
    listed += [partial(_noise, octaves=(k,), shape=_soft) for k in (3, 6, 12)]
    listed += [partial(_noise, octaves=(k,), shape=_hard) for k in (3, 6)]
    listed += [partial(_noise, octaves=(3, 6, 12), shape=_soft)]
    listed += [partial(_streaks, axis=axis) for axis in (1, 2)]
    listed += [partial(_curve, index=k) for k in range(_CURVES)]
    listed += [partial(_scaffold, index=k) for k in range(_SCAFFOLDS)]
    listed += [partial(_count, count=k) for k in range(1, 6)]
    listed += [partial(_beside, angle=2 * k * quarter) for k in range(4)]
    return (*listed, _horizon)


def render(rng: Generator, ink: Array) -> np.ndarray:
    """Give structures [n, H, W] colours, texture, light and sensor noise; uint8 [n, H, W, 3]."""
    n, size = ink.shape[:2]
    ground = images.colours(rng, n)
    colour = images.contrasting(rng, ground, 0.35)
    rough = rng.uniform(0, 0.15, (2, n, 1, 1, 1))
    canvas = ground + rough[0] * images.fractal_noise(rng, n, size, (3, 9))[..., None]
    texture = colour + rough[1] * images.fractal_noise(rng, n, size, (5, 14))[..., None]
    canvas = images.paint(canvas, texture, ink)
    canvas = images.blur(canvas, images.uniform(rng, 0.0, 0.4, n)[..., None])
    return images.expose(rng, images.shade(rng, canvas, 0.5), noise=0.04, contrast=0.4)


def patterns(rng: Generator, per_category: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw every category: images uint8 [n, size, size, 3] and labels int64 [n], unshuffled."""
    drawn = [render(rng, structure(rng, per_category, size)) for structure in categories()]
    return np.concatenate(drawn), np.repeat(np.arange(len(drawn)), per_category)
