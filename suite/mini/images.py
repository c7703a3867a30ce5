"""Drawing primitives for generated images: noise, outlines, strokes, colours, sensors.

Everything works on a batch of n images of `size` pixels a side, in float64 with values in [0, 1]
and coordinates in pixels, y downwards. A generator seeded with PCG64 determines every pixel: the
arithmetic avoids ties, so that differences in the last bit between processors do not survive the
rounding to uint8.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]


def generator(seed: int) -> Generator:
    """Return the random generator that all generated images use."""
    return np.random.Generator(np.random.PCG64(seed))


def uniform(rng: Generator, low: float, high: float, n: int) -> Array:
    """Return one number per image, [n, 1, 1], ready to broadcast over its pixels."""
    return rng.uniform(low, high, (n, 1, 1))


def smooth_noise(rng: Generator, n: int, size: int, cells: int) -> Array:
    """Value noise [n, size, size]: unit-normal values on a `cells` x `cells` grid, interpolated."""
    position = (np.arange(size) + 0.5) * cells / size
    left = np.minimum(position.astype(np.int64), cells - 1)
    share = position - left
    share = share * share * (3 - 2 * share)
    weights = np.zeros((size, cells + 1))
    weights[np.arange(size), left] = 1 - share
    weights[np.arange(size), left + 1] = share
    return weights @ rng.standard_normal((n, cells + 1, cells + 1)) @ weights.T


def fractal_noise(rng: Generator, n: int, size: int, octaves: tuple[int, ...]) -> Array:
    """Sum of smooth noises, each octave half as strong as the one before; [n, size, size]."""
    return sum(smooth_noise(rng, n, size, cells) / 2**power for power, cells in enumerate(octaves))


def pixel_grid(rng: Generator, n: int, size: int, warp: float = 0.0) -> Array:
    """Pixel centres (x, y), [n, size, size, 2], bent by a smooth field of `warp` pixels."""
    axis = np.arange(size) + 0.5
    grid = np.stack(np.meshgrid(axis, axis), -1)[None].repeat(n, 0)
    if warp:
        grid = grid + warp * np.stack([smooth_noise(rng, n, size, 4) for _ in range(2)], -1)
    return grid


@dataclass(frozen=True)
class Pose:
    """How far an outline may be moved: `turn` in radians, `shift` and `jitter` in outline units.

    Outlines live in [-1, 1] x [-1, 1]; `scale` is the range of the half side of that square as a
    share of half the image.
    """

    scale: tuple[float, float] = (0.65, 0.9)
    turn: float = 0.25
    shear: float = 0.15
    shift: float = 0.15
    jitter: float = 0.04

    def sample(self, rng: Generator, n: int) -> tuple[Array, Array]:
        """Return n affine maps: matrices [n, 2, 2] and offsets [n, 2] in outline units."""
        angle = rng.uniform(-self.turn, self.turn, n)
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
        skew = np.zeros((n, 2, 2))
        skew[:, 0, 0], skew[:, 1, 1] = rng.uniform(*self.scale, (2, n))
        skew[:, 0, 1] = rng.uniform(-self.shear, self.shear, n)
        matrix = np.einsum("nij,njk->nik", rotation, skew)
        return matrix, rng.uniform(-self.shift, self.shift, (n, 2))


def place(
    rng: Generator, outline: Array, pose: tuple[Array, Array], jitter: float, size: int
) -> Array:
    """Jitter the points [K, 2] of an outline and bring them to pixels: [n, K, 2]."""
    matrix, offset = pose
    points = outline + jitter * rng.standard_normal((len(matrix), *outline.shape))
    moved = np.einsum("nij,nkj->nki", matrix, points) + offset[:, None]
    return (moved + 1) * (size / 2)


def _segment_offsets(grid: Array, start: Array, end: Array) -> Array:
    """Squared distance of every pixel to the segments start-end ([n, 2] each); [n, H, W]."""
    (x0, y0), (dx, dy) = start.T[..., None, None], (end - start).T[..., None, None]
    x, y = grid[..., 0] - x0, grid[..., 1] - y0
    along = np.clip((x * dx + y * dy) / np.maximum(dx * dx + dy * dy, 1e-9), 0, 1)
    x -= dx * along
    y -= dy * along
    return x * x + y * y


def stroke_distance(points: Array, grid: Array) -> Array:
    """Distance in pixels of every pixel to the open polyline [n, K, 2]; [n, H, W]."""
    squared = np.full(grid.shape[:3], np.inf)
    for k in range(points.shape[1] - 1):
        offsets = _segment_offsets(grid, points[:, k], points[:, k + 1])
        np.minimum(squared, offsets, out=squared)
    return np.sqrt(squared)


def polygon_distance(points: Array, grid: Array) -> Array:
    """Signed distance in pixels to the closed polygon [n, K, 2], negative inside; [n, H, W]."""
    squared = np.full(grid.shape[:3], np.inf)
    inside = np.zeros(grid.shape[:3], dtype=bool)
    x, y = grid[..., 0], grid[..., 1]
    for k in range(points.shape[1]):
        start, end = points[:, k - 1], points[:, k]
        np.minimum(squared, _segment_offsets(grid, start, end), out=squared)
        (x0, y0), (x1, y1) = start.T[..., None, None], end.T[..., None, None]
        crosses = (y0 > y) != (y1 > y)
        rise = np.where(y1 == y0, 1.0, y1 - y0)
        inside ^= crosses & (x < x0 + (x1 - x0) * (y - y0) / rise)
    return np.where(inside, -1.0, 1.0) * np.sqrt(squared)


def coverage(distance: Array, reach: Array | float = 0.0) -> Array:
    """Share of each pixel within `reach` pixels of a shape, antialiased; [n, H, W]."""
    return np.clip(reach - distance + 0.5, 0, 1)


def paint(canvas: Array, colour: Array, opacity: Array) -> Array:
    """Lay a colour ([n, 1, 1, 3] or per pixel) over images [n, H, W, 3] with opacity [n, H, W]."""
    return canvas + (colour - canvas) * opacity[..., None]


def colours(rng: Generator, n: int, low: float = 0.0, high: float = 1.0) -> Array:
    """Return one random colour per image, [n, 1, 1, 3]."""
    return rng.uniform(low, high, (n, 1, 1, 3))


def contrasting(rng: Generator, ground: Array, strength: float = 0.55) -> Array:
    """One random colour per image that is darker on bright grounds and brighter on dark ones."""
    fresh = colours(rng, len(ground))
    bright = ground.mean((1, 2, 3), keepdims=True) > 0.5
    return np.where(bright, (1 - strength) * fresh, strength + (1 - strength) * fresh)


def blur(batch: Array, share: Array | float) -> Array:
    """Mix every pixel with its four neighbours; each axis gives away `share`, at most 0.5."""
    for axis in (1, 2):
        width = [(0, 0)] * 4
        width[axis] = (1, 1)
        padded = np.pad(batch, width, mode="edge")
        size = batch.shape[axis]
        before = padded.take(np.arange(size), axis)
        after = padded.take(np.arange(2, size + 2), axis)
        batch = batch + share * ((before + after) / 2 - batch)
    return batch


def shade(rng: Generator, batch: Array, strength: float) -> Array:
    """Multiply by a slow gradient of light in a random direction."""
    n, size = batch.shape[:2]
    axis = (np.arange(size) + 0.5) / size - 0.5
    slope = rng.uniform(-strength, strength, (2, n, 1, 1))
    light = 1 + slope[0] * axis[None, None, :] + slope[1] * axis[None, :, None]
    return batch * light[..., None]


def expose(rng: Generator, batch: Array, noise: float, contrast: float = 0.0) -> np.ndarray:
    """Read the images out as uint8: random contrast and brightness, sensor noise, clipping."""
    n = len(batch)
    gain = 1 + contrast * rng.uniform(-1, 0.3, (n, 1, 1, 1))
    level = 0.5 + contrast * rng.uniform(-0.3, 0.3, (n, 1, 1, 1))
    levels = level + gain * (batch - 0.5)
    levels = levels + noise * rng.standard_normal(batch.shape)
    return np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)
