from itertools import combinations

import numpy as np

from suite.leaderboards.label_placement import nearest, place

FIELD = np.array([0.0, 0.0, 800.0, 500.0])


def overlap(a, b):
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())


def test_labels_of_crowded_points_cover_neither_each_other_nor_points():
    rng = np.random.default_rng(1)
    anchors = np.array([400.0, 250.0]) + rng.normal(size=(15, 2)) * [60, 25]
    sizes = np.tile([70.0, 12.0], (15, 1))
    line = np.array([[300.0, 249.0, 800.0, 251.0]])
    boxes = place(anchors, sizes, line, FIELD, scale=1.0)
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    assert not any(((b[:2] < p) & (p < b[2:])).all() for b in boxes for p in anchors)
    assert not any(overlap(box, line[0]) for box in boxes)


def test_a_lone_label_stands_beside_its_point():
    boxes = place(
        np.array([[100.0, 100.0]]), np.array([[50.0, 10.0]]), np.zeros((0, 4)), FIELD, 1.0
    )
    assert boxes[0].tolist() == [107, 95, 157, 105]
    assert nearest((100, 100), boxes[0]).tolist() == [107, 100]


def test_a_label_at_the_edge_stays_inside():
    anchors = np.array([[795.0, 495.0], [3.0, 2.0]])
    boxes = place(anchors, np.tile([50.0, 10.0], (2, 1)), np.zeros((0, 4)), FIELD, 1.0)
    assert (boxes[:, :2] >= FIELD[:2]).all()
    assert (boxes[:, 2:] <= FIELD[2:]).all()
