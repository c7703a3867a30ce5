"""Traffic signs of an imaginary country and the characters of an imaginary script."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from suite.mini import images
from suite.mini.images import Array, Pose


@dataclass(frozen=True)
class Plate:
    """The blank of a sign: outline in [-1, 1] and colours (red, green, blue)."""

    outline: tuple[tuple[float, float], ...]
    face: tuple[float, float, float]
    rim: tuple[float, float, float]
    ink: tuple[float, float, float]


def _regular(corners: int, offset: float) -> tuple[tuple[float, float], ...]:
    """Corners of a regular polygon, starting `offset` of a turn clockwise from the right."""
    angle = 2 * np.pi * (np.arange(corners) / corners + offset)
    return tuple(zip(np.cos(angle).tolist(), np.sin(angle).tolist(), strict=True))


_RED, _BLUE, _WHITE, _BLACK = (0.8, 0.1, 0.12), (0.1, 0.25, 0.7), (0.95,) * 3, (0.08,) * 3
_PROHIBITION = Plate(_regular(14, 0.0), _WHITE, _RED, _BLACK)
_ORDER = Plate(_regular(14, 0.0), _BLUE, _WHITE, _WHITE)
_WARNING = Plate(_regular(3, -0.25), _WHITE, _RED, _BLACK)

Strokes = tuple[tuple[tuple[float, float], ...], ...]
_UP: Strokes = (((0, 0.5), (0, -0.5)), ((-0.3, -0.15), (0, -0.5), (0.3, -0.15)))
_LEFT: Strokes = (((0.5, 0), (-0.5, 0)), ((-0.15, -0.3), (-0.5, 0), (-0.15, 0.3)))
_TURN: Strokes = (
    ((0.25, 0.5), (0.25, -0.2), (-0.4, -0.2)),
    ((-0.15, -0.5), (-0.45, -0.2), (-0.15, 0.1)),
)
_BEND: Strokes = (((0.2, 0.5), (0.2, 0.05), (-0.2, -0.1), (-0.2, -0.5)),)
_CROSS: Strokes = (((-0.35, -0.35), (0.35, 0.35)), ((0.35, -0.35), (-0.35, 0.35)))
_BAR: Strokes = (((-0.5, 0), (0.5, 0)),)
_FORK: Strokes = (((0, 0.5), (0, 0)), ((-0.4, -0.4), (0, 0.0), (0.4, -0.4)))


def _mirrored(strokes: Strokes) -> Strokes:
    return tuple(tuple((-x, y) for x, y in stroke) for stroke in strokes)


SIGNS: dict[str, tuple[Plate, Strokes]] = {
    "no entry": (_PROHIBITION, _BAR),
    "no left turn": (_PROHIBITION, _TURN),
    "no right turn": (_PROHIBITION, _mirrored(_TURN)),
    "no stopping": (_PROHIBITION, _CROSS),
    "straight on": (_ORDER, _UP),
    "pass left": (_ORDER, _LEFT),
    "pass right": (_ORDER, _mirrored(_LEFT)),
    "choose a side": (_ORDER, _FORK),
    "bend to the left": (_WARNING, _BEND),
    "bend to the right": (_WARNING, _mirrored(_BEND)),
    "crossing": (_WARNING, _CROSS),
    "fork ahead": (_WARNING, _FORK),
}


def street_signs(rng: Generator, name: str, n: int, size: int) -> np.ndarray:
    """Photograph one sign n times, worn, badly lit and out of focus; uint8 [n, size, size, 3]."""
    plate, strokes = SIGNS[name]
    ground = images.fractal_noise(rng, n, size, (2, 5, 11))[..., None]
    canvas = np.clip(images.colours(rng, n, 0.2, 0.8) + 0.2 * ground, 0, 1)
    grid = images.pixel_grid(rng, n, size, 0.2)
    pose = Pose(scale=(0.6, 0.85), turn=0.15, shear=0.15, shift=0.12).sample(rng, n)
    face = images.polygon_distance(
        images.place(rng, np.array(plate.outline), pose, 0.0, size), grid
    )
    wear = 0.08 * images.smooth_noise(rng, n, size, 6)[..., None]
    canvas = images.paint(canvas, np.array(plate.rim) + wear, images.coverage(face))
    canvas = images.paint(canvas, np.array(plate.face) + wear, images.coverage(face, -1.6))
    centre = np.array(plate.outline).mean(0)
    width = images.uniform(rng, 0.5, 0.9, n)
    for stroke in strokes:
        points = images.place(rng, 0.9 * np.array(stroke) + centre, pose, 0.03, size)
        line = images.coverage(images.stroke_distance(points, grid), width)
        canvas = images.paint(canvas, np.array(plate.ink) + wear, line)
    canvas = images.blur(canvas, images.uniform(rng, 0.0, 0.5, n)[..., None])
    light = images.colours(rng, n, 0.75, 1.0) * rng.uniform(0.35, 1.0, (n, 1, 1, 1))
    return images.expose(rng, images.shade(rng, canvas * light, 0.6), noise=0.04, contrast=0.2)


def script(rng: Generator, bases: int) -> list[Array]:
    """Invent 4 * `bases` characters: control points of quadratic strokes, [strokes, 3, 2].

    As in many scripts, four characters share a base of two or three strokes and differ in where a
    small mark stands beside it.
    """
    characters = []
    for _ in range(bases):
        base = rng.uniform(-0.65, 0.65, (int(rng.integers(2, 4)), 3, 2))
        for corner in ((-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)):
            mark = np.array(corner) + np.array([[-0.15, 0.1], [0, 0], [0.15, -0.1]])
            characters.append(np.concatenate([base, mark[None]]))
    return characters


def handwriting(rng: Generator, character: Array, n: int, size: int) -> np.ndarray:
    """Write one character n times with n pens on n papers; uint8 [n, size, size, 3]."""
    time = np.linspace(0, 1, 7)[:, None]
    bernstein = np.concatenate([(1 - time) ** 2, 2 * time * (1 - time), time**2], 1)
    pose = Pose(scale=(0.65, 0.95), turn=0.25, shear=0.25, shift=0.12)
    grid = images.pixel_grid(rng, n, size, 0.5)
    sampled = pose.sample(rng, n)
    width = images.uniform(rng, 0.4, 0.9, n)
    ink = np.zeros((n, size, size))
    for stroke in character:
        control = images.place(rng, stroke, sampled, 0.09, size)
        curve = np.einsum("tk,nkd->ntd", bernstein, control)
        ink = np.maximum(ink, images.coverage(images.stroke_distance(curve, grid), width))
    paper = images.colours(rng, n) + 0.05 * images.fractal_noise(rng, n, size, (4, 12))[..., None]
    written = images.paint(paper, images.contrasting(rng, paper, 0.5), ink)
    return images.expose(rng, images.shade(rng, written, 0.4), noise=0.05, contrast=0.4)
