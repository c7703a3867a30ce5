import numpy as np
import pytest

from suite.results.resampling import resampled_scores, weighted_scores


def answers(runs=3, n=60):
    rng = np.random.default_rng(3)
    targets = rng.integers(3, size=n)
    return np.where(rng.random((runs, n)) < 0.6, targets, rng.integers(3, size=n)), targets


def test_several_metrics_are_averaged():
    predictions, targets = answers()
    counts = np.ones((1, len(targets)))
    both = weighted_scores(("accuracy", "f1"), predictions, targets, counts)
    single = [weighted_scores((m,), predictions, targets, counts) for m in ("accuracy", "f1")]
    assert both == pytest.approx((single[0] + single[1]) / 2)


def test_a_run_meets_the_same_resamples_whoever_else_is_scored():
    predictions, targets = answers()
    together = resampled_scores("a", ("accuracy",), predictions, targets)
    alone = resampled_scores("a", ("accuracy",), predictions[2:], targets)
    assert np.array_equal(together[:, 2:], alone)
    elsewhere = resampled_scores("b", ("accuracy",), predictions[2:], targets)
    assert not np.array_equal(elsewhere, alone)


def test_the_spread_over_resamples_is_the_binomial_standard_error():
    targets = np.ones(400, dtype=int)
    predictions = (np.arange(400) < 300).astype(int)[None]
    spread = resampled_scores("a", ("accuracy",), predictions, targets).std()
    assert spread == pytest.approx(100 * np.sqrt(0.75 * 0.25 / 400), rel=0.1)
