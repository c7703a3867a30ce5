"""Where to write names beside the points of a plot so that they cover nothing."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
_NEAR, _STEP, _STEPS, _GAP = 7.0, 6.0, 14, 2.0
"""Points (1/72 inch) from a point to its label, and between a label and anything else."""
_COVERS, _CROSSES = 1000.0, 120.0
"""What covering something, or leading a line across it, is worth in points of distance."""


def place(anchors: Array, sizes: Array, obstacles: Array, inside: Array, scale: float) -> Array:
    """Boxes [N, 4] for N labels, placed one after the other, each at its best of many places.

    `anchors` [N, 2] are the points, `sizes` [N, 2] width and height of the labels, `obstacles`
    [K, 4] boxes that are not to be covered, `inside` [4] the box to stay in, all in pixels, of
    which `scale` are a point. Boxes are (left, bottom, right, top).
    """
    boxes: list[Array] = []
    lines = np.zeros((0, 2))
    points = np.concatenate([anchors - 3 * scale, anchors + 3 * scale], axis=1)
    for i, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        found_C4 = _candidates(anchor, size, scale)
        gap = np.array([-1, -1, 1, 1]) * _GAP * scale
        taken_K4 = np.concatenate([obstacles, points, *(box[None] for box in boxes)])
        path_CP2 = _path(anchor, found_C4)
        cost_C = np.linalg.norm(path_CP2[:, -1] - anchor, axis=1) / scale
        cost_C = cost_C + _COVERS * _overlap(found_C4 + gap, taken_K4).sum(axis=1)
        cost_C += _COVERS * ~_within(found_C4, inside)
        others_M4 = np.concatenate([np.delete(points, i, axis=0), *(box[None] for box in boxes)])
        cost_C += _CROSSES * _contains(path_CP2, others_M4).any(axis=1).sum(axis=1)
        cost_C += _CROSSES * np.any(_contains(lines[None], found_C4), axis=(0, 1))
        best = int(np.argmin(cost_C))
        boxes.append(found_C4[best])
        lines = np.concatenate([lines, path_CP2[best]])
    return np.array(boxes)


def nearest(anchor: Sequence[float] | Array, boxes: Array) -> Array:
    """The points of boxes [..., 4] that are nearest to a point: [..., 2]."""
    return np.clip(np.asarray(anchor), boxes[..., :2], boxes[..., 2:])


def _candidates(anchor: Array, size: Array, scale: float) -> Array:
    """Boxes around a point, those beside it first."""
    width, height = size
    found = []
    for step in range(_STEPS):
        near = (_NEAR + _STEP * step) * scale
        right, left, low, high = near, -near - width, -near - height, near
        found += [(right, -height / 2), (left, -height / 2)]
        found += [(right, high / 2), (right, low / 2), (left, high / 2), (left, low / 2)]
        found += [(-width / 2, high), (-width / 2, low)]
    corner = anchor + np.array(found)
    return np.concatenate([corner, corner + size], axis=1)


def _path(anchor: Array, boxes_C4: Array) -> Array:
    """Places along the lines from a point to its boxes, outside the point's own mark: [C, P, 2]."""
    ends_C2 = nearest(anchor, boxes_C4)
    along_P = np.linspace(0.2, 1, 12)
    return anchor + along_P[None, :, None] * (ends_C2 - anchor)[:, None, :]


def _overlap(a_C4: Array, b_K4: Array) -> Array:
    a, b = a_C4[:, None], b_K4[None]
    return np.all((a[..., :2] < b[..., 2:]) & (b[..., :2] < a[..., 2:]), axis=-1)


def _within(a_C4: Array, box: Array) -> Array:
    return np.all((a_C4[:, :2] >= box[:2]) & (a_C4[:, 2:] <= box[2:]), axis=1)


def _contains(path_CP2: Array, boxes_M4: Array) -> Array:
    """Whether places lie in boxes: [C, P, M]."""
    p, b = path_CP2[:, :, None], boxes_M4[None, None]
    return np.all((b[..., :2] < p) & (p < b[..., 2:]), axis=-1)
