"""Task scores on bootstrap resamples of the test examples, for many runs at once.

A resample is a row of counts: how often each example was drawn. Every metric is computed from
weighted sums, so that all runs of a task on all resamples cost a few matrix products.
Suffixes: R runs, N test examples, B resamples, U distinct values.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from suite.metrics import UNPARSED
from suite.registry.schema import MetricName

Array = np.ndarray
RESAMPLES = 1000
_BLOCK = 2_000_000
"""Counts held at once, which bounds the memory for large test sets."""


def _accuracy(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    return counts_BN @ (p_RN == t_N).T.astype(float) / len(t_N)


def _f1(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    positive_N = t_N == 1
    claimed_RN = np.where(p_RN == UNPARSED, ~positive_N, p_RN == 1)
    hits_BR = counts_BN @ (claimed_RN & positive_N).T.astype(float)
    either_BR = counts_BN @ claimed_RN.T.astype(float) + (counts_BN @ positive_N)[:, None]
    return _ratio(2 * hits_BR, either_BR)


def _matthews(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    n = len(t_N)
    hits_BR = counts_BN @ (p_RN == t_N).T.astype(float)
    together, claims, truths = 0.0, 0.0, 0.0
    for label in np.union1d(p_RN, t_N):
        claimed_BR = counts_BN @ (p_RN == label).T.astype(float)
        true_B1 = (counts_BN @ (t_N == label))[:, None]
        together = together + claimed_BR * true_B1
        claims = claims + claimed_BR**2
        truths = truths + true_B1**2
    return _ratio(n * hits_BR - together, np.sqrt((n**2 - claims) * (n**2 - truths)))


def _pearson(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    x_RN = p_RN - p_RN.mean(axis=1, keepdims=True)
    y_N = t_N - t_N.mean()
    n = len(t_N)
    x_BR, y_B1 = counts_BN @ x_RN.T / n, (counts_BN @ y_N / n)[:, None]
    covariance_BR = counts_BN @ (x_RN * y_N).T / n - x_BR * y_B1
    variance_BR = _variance(counts_BN @ (x_RN**2).T / n, x_BR)
    return _ratio(
        covariance_BR,
        np.sqrt(variance_BR * _variance((counts_BN @ y_N**2 / n)[:, None], y_B1)),
    )


def _spearman(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    # Every resample has ranks of its own; their mean is (N + 1) / 2 whatever was drawn.
    y_BN = _ranks(t_N, counts_BN) - (len(t_N) + 1) / 2
    weighted_BN = counts_BN * y_BN
    y_B = np.einsum("bn,bn->b", weighted_BN, y_BN)
    columns = []
    for p_N in p_RN:
        x_BN = _ranks(p_N, counts_BN) - (len(t_N) + 1) / 2
        x_B = np.einsum("bn,bn,bn->b", counts_BN, x_BN, x_BN)
        columns.append(_ratio(np.einsum("bn,bn->b", weighted_BN, x_BN), np.sqrt(x_B * y_B)))
    return np.stack(columns, axis=1)


def _ranks(values_N: Array, counts_BN: Array) -> Array:
    order = np.argsort(values_N, kind="stable")
    _, starts, inverse = np.unique(values_N[order], return_index=True, return_inverse=True)
    tied_BU = np.add.reduceat(counts_BN[:, order], starts, axis=1)
    middle_BU = np.cumsum(tied_BU, axis=1) - tied_BU / 2 + 0.5
    back = np.empty_like(order)
    back[order] = inverse
    return middle_BU[:, back]


def _variance(mean_of_squares: Array, mean: Array) -> Array:
    # What cancellation leaves of a constant is not a variance.
    variance = mean_of_squares - mean**2
    return np.where(variance > 1e-12 * mean_of_squares, variance, 0.0)


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(
        numerator, denominator, out=np.zeros_like(numerator, dtype=float), where=denominator > 0
    )


_WEIGHTED: dict[MetricName, Callable[[Array, Array, Array], Array]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}


def weighted_scores(
    metrics: Sequence[MetricName], p_RN: Array, t_N: Array, counts_BN: Array
) -> Array:
    """The mean of the metrics, in per cent, of R runs on B weightings of N examples: [B, R].

    Each row of `counts_BN` sums to N. With all counts 1, equal to `suite.metrics`.
    """
    return 100 * sum(_WEIGHTED[name](p_RN, t_N, counts_BN) for name in metrics) / len(metrics)


def resampled_scores(
    task: str, metrics: Sequence[MetricName], p_RN: Array, t_N: Array, resamples: int = RESAMPLES
) -> Array:
    """Task scores of R runs on bootstrap resamples of the N test examples: [resamples, R].

    The resamples depend on the task's name and targets alone: whoever is scored on this task, now
    or later, meets the same ones.
    """
    blocks = _resamples(task, t_N, resamples)
    return np.concatenate([weighted_scores(metrics, p_RN, t_N, block) for block in blocks])


def _resamples(task: str, t_N: Array, resamples: int) -> Iterator[Array]:
    content = task.encode() + np.asarray(t_N, dtype="<f8").tobytes()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest()[:8], "little"))
    n = len(t_N)
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)
