"""Outlines of everyday objects, and the three styles that draw them: pencil, scissors and brush."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from suite.mini import images
from suite.mini.images import Array, Pose


@dataclass(frozen=True)
class Part:
    """One piece of an object: points [K, 2] in [-1, 1], y downwards; open pieces are only lines."""

    points: Array
    closed: bool = True


def _closed(*points: tuple[float, float]) -> Part:
    return Part(np.array(points, dtype=np.float64))


def _line(*points: tuple[float, float]) -> Part:
    return Part(np.array(points, dtype=np.float64), closed=False)


def _arc(
    centre: tuple[float, float],
    radius: tuple[float, float],
    turns: tuple[float, float] = (0, 1),
    points: int = 10,
    closed: bool = True,
) -> Part:
    """Elliptic arc; `turns` counts clockwise from the right, as a share of the full circle."""
    full = turns[1] - turns[0] == 1
    angle = 2 * np.pi * np.linspace(*turns, points, endpoint=not full)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    return Part(np.array(centre) + np.array(radius) * circle, closed)


OBJECTS: dict[str, tuple[Part, ...]] = {
    "house": (
        _closed((-0.7, -0.1), (0.7, -0.1), (0.7, 0.9), (-0.7, 0.9)),
        _closed((-0.95, -0.1), (0.0, -0.9), (0.95, -0.1)),
        _closed((-0.2, 0.35), (0.2, 0.35), (0.2, 0.9), (-0.2, 0.9)),
    ),
    "tree": (
        _closed((-0.15, 0.2), (0.15, 0.2), (0.2, 0.95), (-0.2, 0.95)),
        _arc((0, -0.3), (0.7, 0.65)),
    ),
    "fish": (
        _closed((0.4, 0.0), (0.95, -0.5), (0.95, 0.5)),
        _arc((-0.15, 0), (0.75, 0.45)),
        _arc((-0.5, -0.1), (0.1, 0.1), points=5),
    ),
    "mug": (
        _arc((0.5, 0.0), (0.4, 0.4), (-0.25, 0.25), 7, closed=False),
        _closed((-0.75, -0.7), (0.5, -0.7), (0.4, 0.7), (-0.65, 0.7)),
    ),
    "boat": (
        _line((0.0, -0.95), (0.0, 0.4)),
        _closed((-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)),
        _closed((0.08, -0.85), (0.75, 0.2), (0.08, 0.2)),
    ),
    "umbrella": (
        _line((0.0, -0.1), (0.0, 0.8), (0.12, 0.92), (0.3, 0.85)),
        _arc((0, 0), (0.9, 0.8), (0.5, 1.0), 8),
    ),
    "car": (
        _closed(
            (-0.95, 0.05), (-0.55, 0.0), (-0.3, -0.45), (0.4, -0.45), (0.6, 0.0), (0.95, 0.1),
            (0.95, 0.45), (-0.95, 0.45),
        ),
        _arc((-0.5, 0.45), (0.24, 0.24), points=7),
        _arc((0.5, 0.45), (0.24, 0.24), points=7),
    ),
    "mushroom": (
        _closed((-0.25, 0.0), (0.25, 0.0), (0.35, 0.9), (-0.35, 0.9)),
        _arc((0, 0.05), (0.9, 0.85), (0.5, 1.0), 8),
    ),
    "key": (
        _line((-0.05, 0.0), (0.95, 0.0), (0.95, 0.4)),
        _line((0.6, 0.0), (0.6, 0.4)),
        _arc((-0.5, 0), (0.42, 0.42)),
    ),
    "flower": (
        _line((0.0, 0.1), (0.05, 0.95)),
        _line((0.03, 0.6), (0.4, 0.35)),
        _arc((-0.3, -0.35), (0.3, 0.25), points=6),
        _arc((0.3, -0.35), (0.3, 0.25), points=6),
        _arc((0.0, -0.65), (0.25, 0.3), points=6),
        _arc((0.0, -0.05), (0.25, 0.28), points=6),
        _arc((0, -0.35), (0.18, 0.18), points=5),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Trace:
    """A part placed on the canvas: distance in pixels [n, H, W], signed where it is closed."""

    distance: Array
    closed: bool

    def line(self, width: Array | float) -> Array:
        """Opacity of the part's line, `width` pixels wide."""
        return images.coverage(np.abs(self.distance), width / 2)

    def fill(self, width: Array | float) -> Array:
        """Opacity of the part's area; an open part is a line of that width."""
        return images.coverage(self.distance) if self.closed else self.line(width)


def trace(
    rng: Generator, parts: tuple[Part, ...], n: int, size: int, pose: Pose, warp: float
) -> list[Trace]:
    """Place n wobbling copies of an outline on canvases of `size` pixels a side."""
    grid = images.pixel_grid(rng, n, size, warp)
    sampled = pose.sample(rng, n)
    traces = []
    for part in parts:
        points = images.place(rng, part.points, sampled, pose.jitter, size)
        measure = images.polygon_distance if part.closed else images.stroke_distance
        traces.append(Trace(measure(points, grid), part.closed))
    return traces


def stray_lines(rng: Generator, n: int, size: int, count: int) -> Array:
    """Opacity [n, H, W] of `count` short random lines per image, each there half of the time."""
    grid = images.pixel_grid(rng, n, size)
    opacity = np.zeros((n, size, size))
    for _ in range(count):
        start = rng.uniform(0, size, (n, 1, 2))
        points = np.concatenate([start, start + rng.normal(0, size / 4, (n, 1, 2))], 1)
        there = rng.uniform(0, 1, (n, 1, 1)) < 0.5
        line = images.coverage(images.stroke_distance(points, grid), 0.4)
        opacity = np.maximum(opacity, there * line)
    return opacity


def pencil(rng: Generator, traces: list[Trace]) -> np.ndarray:
    """Line drawings: broken pencil lines on paper, or chalk on a board; uint8 [n, H, W, 3]."""
    n, size = traces[0].distance.shape[:2]
    paper = 0.8 + 0.2 * images.colours(rng, n) + 0.04 * rng.standard_normal((n, size, size, 1))
    width = images.uniform(rng, 0.5, 1.4, n)
    ink = stray_lines(rng, n, size, 4)
    for part in traces:
        ink = np.maximum(ink, part.line(width))
    pressure = np.clip(0.8 + 0.35 * images.smooth_noise(rng, n, size, 5), 0.1, 1)
    drawn = images.paint(paper, 0.35 * images.colours(rng, n), ink * pressure)
    board = rng.uniform(0, 1, (n, 1, 1, 1)) < 0.25
    return images.expose(rng, np.where(board, 1 - drawn, drawn), noise=0.04, contrast=0.3)


def scissors(rng: Generator, traces: list[Trace]) -> np.ndarray:
    """Clip art: flat colours and outlines over a patterned ground; uint8 [n, H, W, 3]."""
    n, size = traces[0].distance.shape[:2]
    canvas = images.colours(rng, n) + np.zeros((n, size, size, 1))
    for _ in range(4):
        square = rng.uniform(0, size, (n, 1, 2)) + np.array(
            [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        ) * rng.uniform(1, size / 4, (n, 1, 2))
        area = images.polygon_distance(square, images.pixel_grid(rng, n, size))
        canvas = images.paint(canvas, images.colours(rng, n), images.coverage(area))
    outline = images.uniform(rng, 0.0, 1.2, n)
    base = images.contrasting(rng, canvas, 0.35)
    for part in traces:
        tone = np.clip(base + rng.normal(0, 0.2, (n, 1, 1, 3)), 0, 1)
        canvas = images.paint(canvas, tone, part.fill(1.2))
        canvas = images.paint(canvas, 0.2 * tone, part.line(outline) * (outline > 0.4))
    return images.expose(rng, canvas, noise=0.03, contrast=0.3)


def brush(rng: Generator, traces: list[Trace]) -> np.ndarray:
    """Paintings: areas of broken colour with soft edges on a brushed ground; uint8 [n, H, W, 3]."""
    n, size = traces[0].distance.shape[:2]
    octaves = (3, 6, 12)
    mix = np.clip(0.5 + 0.6 * images.fractal_noise(rng, n, size, octaves), 0, 1)
    canvas = images.paint(images.colours(rng, n) + np.zeros((n, size, size, 1)),
                          images.colours(rng, n), mix)  # fmt: skip
    base = images.contrasting(rng, canvas, 0.3)
    for part in traces:
        tone = np.clip(base + rng.normal(0, 0.15, (n, 1, 1, 3)), 0, 1)
        stroke = images.fractal_noise(rng, n, size, (6, 12))
        ragged = Trace(part.distance + 0.5 * stroke, part.closed)
        canvas = images.paint(canvas, tone + 0.12 * stroke[..., None], 0.9 * ragged.fill(1.6))
    canvas = images.blur(canvas, images.uniform(rng, 0.1, 0.5, n)[..., None])
    return images.expose(rng, images.shade(rng, canvas, 0.5), noise=0.04, contrast=0.4)


Hand = Callable[[Generator, list[Trace]], np.ndarray]
"""Turns the traces of n objects into images, uint8 [n, H, W, 3]."""


def draw(
    rng: Generator,
    hand: Hand,
    per_class: int,
    size: int,
    pose: Pose,
) -> dict[str, np.ndarray]:
    """Draw every object `per_class` times: uint8 [per_class, size, size, 3] by object name."""
    return {
        name: hand(rng, trace(rng, parts, per_class, size, pose, warp=0.7))
        for name, parts in OBJECTS.items()
    }
