"""Every metric against scikit-learn and scipy, with equal weights and with random ones."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from suite.registry.metrics import METRICS


def pearson(predictions, targets):
    return stats.pearsonr(predictions, targets).statistic


def spearman(predictions, targets):
    return stats.spearmanr(predictions, targets).statistic


ORACLES = {
    "accuracy": lambda p, t: sklearn_metrics.accuracy_score(t, p),
    # An unparsed answer (-1) is a miss where the target is positive, a false alarm elsewhere.
    "f1": lambda p, t: sklearn_metrics.f1_score(t == 1, np.where(p == -1, t != 1, p == 1)),
    "matthews": lambda p, t: sklearn_metrics.matthews_corrcoef(t, p),
    "pearson": pearson,
    "spearman": spearman,
}


def examples(output, runs=3, n=60):
    """Answers [runs, n] better than chance, some unparsed or tied, and targets [n]."""
    rng = np.random.default_rng(3)
    if output == "classification":
        targets = rng.integers(3, size=n)
        predictions = np.where(rng.random((runs, n)) < 0.6, targets, rng.integers(3, size=n))
        predictions[0, :5] = -1
    else:
        targets = rng.integers(11, size=n) / 2
        predictions = targets + rng.normal(size=(runs, n))
        predictions[-1] = np.round(predictions[-1])
    return predictions, targets


def test_every_metric_has_an_oracle():
    assert METRICS.keys() == ORACLES.keys()


@pytest.mark.parametrize("name", METRICS)
def test_equal_weights_give_the_metric_itself(name):
    predictions, targets = examples(METRICS[name].output)
    found = METRICS[name].weighted(predictions, targets, np.ones((1, len(targets))))
    assert found.shape == (1, len(predictions))
    assert found[0] == pytest.approx([ORACLES[name](p, targets) for p in predictions])


@pytest.mark.parametrize("name", METRICS)
def test_counts_mean_that_many_copies_of_an_example(name):
    predictions, targets = examples(METRICS[name].output)
    n = len(targets)
    # More weightings than are ranked at once.
    counts = np.random.default_rng(4).multinomial(n, np.full(n, 1 / n), size=120)
    found = METRICS[name].weighted(predictions, targets, counts.astype(float))
    for row, times in zip(found, counts, strict=True):
        repeated = np.repeat(targets, times)
        assert row == pytest.approx(
            [ORACLES[name](np.repeat(p, times), repeated) for p in predictions]
        )


@pytest.mark.parametrize("name", [name for name in METRICS if name != "accuracy"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_answer_is_worth_nothing_on_any_resample(name, constant):
    _, targets = examples(METRICS[name].output)
    n = len(targets)
    counts = np.random.default_rng(5).multinomial(n, np.full(n, 1 / n), size=5).astype(float)
    found = METRICS[name].weighted(np.full((1, n), constant), targets, counts)
    assert np.array_equal(found, np.zeros((5, 1)))


def test_the_registry_reads_metrics_without_numpy():
    code = "import sys, suite.registry; suite.registry.load(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
