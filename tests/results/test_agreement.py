"""The agreement of two orders, against scipy's, and how sure it is."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from suite.results.agreement import agreement, mutual_agreement
from suite.results.statistics import Estimate, RunNoise


def estimates(scores, spread):
    """Scores of known uncertainty: of their runs, and of test examples that no two share."""
    rng = np.random.Generator(np.random.PCG64(3))
    return [
        Estimate(
            np.array([[score]]), score + spread * rng.standard_normal(500), RunNoise(spread**2, 8.0)
        )
        for score in scores
    ]


@pytest.mark.parametrize(
    "published",
    [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [3, 1, 2, 6, 4, 5], [1, 1, 2, 2, 3, 4]],
)
def test_the_coefficient_is_kendalls_with_ties(published):
    scores = [61.0, 62.5, 62.5, 70.0, 71.0, 69.0]
    found = agreement(estimates(scores, 0.1), published)
    assert found.tau == pytest.approx(kendalltau(scores, published).statistic)
    assert found.methods == 6


def test_the_interval_is_as_wide_as_the_scores_are_uncertain():
    scores, published = [60.0, 61.0, 62.0, 63.0, 64.0], [1, 2, 3, 4, 5]
    sure = agreement(estimates(scores, 1e-3), published)
    assert (sure.low, sure.high) == (1, 1)
    assert sure.p == pytest.approx(2 / 120), "one of 5! orders is the same, one the reverse"
    unsure = agreement(estimates(scores, 3.0), published)
    assert unsure.low < 0 < unsure.high


def test_equal_scores_have_no_order():
    assert agreement(estimates([60.0] * 5, 1.0), [1, 2, 3, 4, 5]) is None
    assert agreement(estimates([60.0, 61, 62, 63, 64], 1.0), [2] * 5) is None


def test_two_uncertain_orders_agree_as_their_scores_do():
    scores, others = [60.0, 61.0, 62.0, 63.0, 64.0, 65.0], [1.0, 2.0, 3.0, 6.0, 5.0, 4.0]
    found = mutual_agreement(estimates(scores, 1e-3), estimates(others, 1e-3))
    expected = kendalltau(scores, others)
    assert (found.tau, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    # Exact as the scores are, other methods might have another order.
    assert found.low < 0.1 < found.tau < found.high
    same = mutual_agreement(estimates(scores, 1e-3), estimates(scores, 1e-3))
    assert (same.low, same.high) == (1, 1)
    unsure = mutual_agreement(estimates(scores, 3.0), estimates(scores, 3.0))
    assert unsure.low < 0 < unsure.tau <= unsure.high
