import numpy as np
import pytest

from suite.registry.schema import TaskEntry
from suite.results.metrics import evaluate
from suite.results.resampling import resampled_scores, weighted_scores

CLASSIFICATION = ("accuracy", "f1", "matthews")
REGRESSION = ("pearson", "spearman")


def reference(metric, predictions, targets):
    entry = TaskEntry.model_construct(name="example", metrics=(metric,))
    return evaluate(entry, predictions, targets)[metric]


def answers(metric, runs=3, n=60):
    rng = np.random.default_rng(3)
    if metric in CLASSIFICATION:
        targets = rng.integers(3, size=n)
        predictions = np.where(rng.random((runs, n)) < 0.6, targets, rng.integers(3, size=n))
        predictions[0, :5] = -1
        predictions[1] = 1
    else:
        targets = rng.integers(6, size=n).astype(float)
        predictions = targets + rng.normal(size=(runs, n))
        predictions[1] = np.round(predictions[1])
        predictions[2] = 2.5
    return predictions, targets


@pytest.mark.parametrize("metric", CLASSIFICATION + REGRESSION)
def test_equal_weights_give_the_metric_itself(metric):
    predictions, targets = answers(metric)
    found = weighted_scores((metric,), predictions, targets, np.ones((1, len(targets))))
    assert found[0] == pytest.approx([reference(metric, p, targets) for p in predictions])


@pytest.mark.parametrize("metric", CLASSIFICATION + REGRESSION)
def test_counts_mean_that_many_copies_of_an_example(metric):
    predictions, targets = answers(metric)
    n = len(targets)
    counts = np.random.default_rng(4).multinomial(n, np.full(n, 1 / n), size=20)
    found = weighted_scores((metric,), predictions, targets, counts.astype(float))
    for row, times in zip(found, counts, strict=True):
        copies = [
            reference(metric, np.repeat(p, times), np.repeat(targets, times)) for p in predictions
        ]
        assert row == pytest.approx(copies)


def test_several_metrics_are_averaged():
    predictions, targets = answers("f1")
    counts = np.ones((1, len(targets)))
    both = weighted_scores(("accuracy", "f1"), predictions, targets, counts)
    single = [weighted_scores((m,), predictions, targets, counts) for m in ("accuracy", "f1")]
    assert both == pytest.approx((single[0] + single[1]) / 2)


def test_a_run_meets_the_same_resamples_whoever_else_is_scored():
    predictions, targets = answers("accuracy")
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
