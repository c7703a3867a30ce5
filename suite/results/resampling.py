"""Task scores on bootstrap resamples of the test examples, for many runs at once.

A resample is a row of counts: how often each example was drawn. Every metric is computed from
weighted sums, so that all runs of a task on all resamples cost a few matrix products.
Suffixes: R runs, N test examples, B resamples, U distinct values.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from suite.registry.schema import MetricName
from suite.results.metrics import UNPARSED

Array = np.ndarray
RESAMPLES = 1000
_BLOCK = 2_000_000
"""Counts held at once, which bounds the memory for large test sets."""
_PART = 100
"""Resamples of which ranks are computed at once."""


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
    # Every resample has ranks of its own. They are multiples of a half, so every sum is exact. In
    # small parts, with the resamples as the last axis, all arrays stay in the processor's cache.
    ties = [_Ties(p_N) for p_N in p_RN]
    true = _Ties(t_N)
    blocks = []
    for part_BN in np.split(counts_BN, range(_PART, len(counts_BN), _PART)):
        counts_NB = part_BN.T.copy()
        y_NB, y_B = true.centred_ranks(counts_NB)
        weighted_NB = np.empty_like(counts_NB)
        weighted_NB[true.order] = counts_NB[true.order] * y_NB
        columns = []
        for own in ties:
            x_NB, x_B = own.centred_ranks(counts_NB)
            both_B = np.einsum("nb,nb->b", weighted_NB[own.order], x_NB)
            columns.append(_ratio(both_B, np.sqrt(x_B * y_B)))
        blocks.append(np.stack(columns, axis=1))
    return np.concatenate(blocks)


class _Ties:
    """The ascending `order` of some values, and which of them are equal."""

    def __init__(self, values_N: Array) -> None:
        self.order = np.argsort(values_N, kind="stable")
        _, self.repeats = np.unique(values_N, return_counts=True)
        self.ends = np.cumsum(self.repeats) - 1

    def centred_ranks(self, counts_NB: Array) -> tuple[Array, Array]:
        """In that order, the rank of each value less the mean of all ranks, which is (N + 1) / 2
        whatever was drawn, and the sum of their squares; equal values share a rank."""
        ascending_NB = counts_NB[self.order]
        last_UB = np.cumsum(ascending_NB, axis=0)[self.ends]
        middle_UB = (last_UB - len(counts_NB)) / 2
        middle_UB[1:] += last_UB[:-1] / 2
        x_NB = np.repeat(middle_UB, self.repeats, axis=0)
        return x_NB, np.einsum("nb,nb,nb->b", ascending_NB, x_NB, x_NB)


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

    Each row of `counts_BN` sums to N. With all counts 1, equal to `suite.results.metrics`.
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
