import numpy as np
import pytest

from suite.results.ranks import detectable_difference, ranks
from suite.results.statistics import Estimate, RunNoise, compare

STEADY = RunNoise(0.0, np.inf)


def scores(*values, error=1.0):
    """Estimates with these scores and independent errors."""
    rng = np.random.default_rng(8)
    return [Estimate(np.array([[v]]), v + error * rng.normal(size=1000), STEADY) for v in values]


def test_places_follow_the_scores():
    assert [rank.place for rank in ranks(scores(70, 90, 80))] == [3, 1, 2]


def test_equal_scores_share_a_place():
    assert [rank.place for rank in ranks(scores(80, 80, 70))] == [1, 1, 3]


def test_far_scores_have_sure_ranks_and_near_ones_do_not():
    first, *near = ranks(scores(95, 80, 80.2, 79.8))
    assert (first.low, first.high) == (1, 1)
    assert all((rank.low, rank.high) == (2, 4) for rank in near)


def test_only_what_may_be_the_best_is_marked():
    assert [rank.best for rank in ranks(scores(80, 79.5, 70))] == [True, True, False]


def test_among_many_methods_the_same_distance_is_weaker_evidence():
    assert [rank.best for rank in ranks(scores(80, 77))] == [True, False]
    assert all(rank.best for rank in ranks(scores(80, 77, 77, 77, 77, 77)))


def test_a_row_is_unsure_only_if_the_other_comparisons_are_far_sharper():
    def marked(*rows):
        """Of scores with a number that stands for how runs vary, and the name of their training."""
        noises = {"steady": RunNoise(0.5, np.inf), "wild": RunNoise(100.0, np.inf)}
        estimates = [
            Estimate(np.full((1, 3), v), np.full(1000, float(v)), noises[kind], (name,))
            for v, kind, name in rows
        ]
        return [(rank.best, rank.unsure) for rank in ranks(estimates)]

    rest = [(79.5, "steady", "b"), (79, "steady", "c")]
    assert marked((80, "steady", "a"), *rest, (70, "wild", "d"))[3] == (True, True)
    assert marked((80, "steady", "a"), *rest, (40, "wild", "d"))[3] == (False, False)
    # What is of the leader's own runs is told from it sharply, which says nothing of others.
    twins = [(80, "steady", "a")] * 4
    assert marked(*twins, (79.5, "steady", "b"))[4] == (True, False)
    assert (
        marked((80, "wild", "a"), (75, "wild", "b"), (74, "wild", "c"))[1:] == [(True, False)] * 2
    )


def test_one_training_in_several_precisions_moves_as_one():
    noise = RunNoise(3.0, np.inf)
    lone, *alike = [
        Estimate(np.full((1, 3), v), np.full(1000, float(v)), noise, training)
        for v, training in [(72, ("a",)), *[(70, ("b",))] * 5]
    ]
    # All five are ahead together, in some eight of a hundred draws, or none is.
    assert (ranks([lone, *alike])[0].low, ranks([lone, *alike])[0].high) == (1, 6)


def test_single_runs_of_unknown_noise_have_no_rank():
    with pytest.raises(ValueError, match="one seed"):
        ranks([Estimate(np.array([[80.0]]), np.zeros(10))] * 2)


def test_the_detectable_difference_is_that_of_a_typical_pair():
    found = scores(70, 80, 90)
    assert detectable_difference(found) == pytest.approx(2.8 * 2**0.5, rel=0.1)
    assert detectable_difference(found[:1]) is None
    assert compare(*found[:2]).detectable == pytest.approx(2.8 * 2**0.5, rel=0.1)
