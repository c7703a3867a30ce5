import numpy as np

from suite.mini import images, patterns


def test_polygon_distance_is_negative_inside_and_measures_pixels():
    square = np.array([[(4.0, 4.0), (12.0, 4.0), (12.0, 12.0), (4.0, 12.0)]])
    distance = images.polygon_distance(square, images.pixel_grid(images.generator(0), 1, 16))[0]
    assert distance[8, 8] == -3.5
    assert distance[8, 15] == 3.5
    assert (distance < 0).sum() == 64


def test_stroke_distance_ends_at_the_ends_of_the_line():
    line = np.array([[(4.5, 8.5), (10.5, 8.5)]])
    distance = images.stroke_distance(line, images.pixel_grid(images.generator(0), 1, 16))[0]
    assert distance[8, 7] == 0
    assert distance[6, 7] == 2
    assert distance[8, 14] == 4


def test_contrasting_colours_can_be_told_from_their_ground():
    rng = images.generator(3)
    ground = images.colours(rng, 500)
    ink = images.contrasting(rng, ground, 0.5)
    bright = ground.mean((1, 2, 3)) > 0.5
    darker = ink.mean((1, 2, 3)) < 0.5
    assert (bright == darker).mean() > 0.99


def test_patterns_repeat_with_the_seed_and_differ_without_it():
    first, labels = patterns.patterns(images.generator(5), 2, 24)
    again, _ = patterns.patterns(images.generator(5), 2, 24)
    other, _ = patterns.patterns(images.generator(6), 2, 24)
    assert first.dtype == np.uint8 and first.shape == (2 * len(patterns.categories()), 24, 24, 3)
    assert np.array_equal(first, again)
    assert not (first == other).all((1, 2, 3)).any()
    assert np.array_equal(np.bincount(labels), np.full(len(patterns.categories()), 2))
