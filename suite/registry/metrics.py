"""The metrics that a task may name: which output each fits, and how it is computed.

A metric is computed from weighted sums, for R runs on B weightings of N examples at once, so that
all bootstrap resamples cost a few matrix products. The plain score is the case of equal weights.
Suffixes: R runs, N examples, B weightings, U distinct values.

numpy is imported by the functions that need it: `list` and `plan` read metrics and compute none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray

MetricName = str
"""A key of `METRICS`; by this type a result depends on the metrics of its task alone."""
UNPARSED = -1
"""The prediction that stands for an answer which could not be parsed."""
_PART = 100
"""Weightings of which ranks are computed at once."""


@dataclass(frozen=True)
class Metric:
    """How well predictions meet their targets, from 0 or -1 to 1."""

    output: Literal["classification", "regression"]
    weighted: Callable[[Array, Array, Array], Array]
    """(predictions [R, N], targets [N], counts [B, N]) -> [B, R].

    Counts say how often each example is drawn; each row of them sums to N. Predictions and targets
    are class indices, or numbers for regression.
    """
    labels: int | None = None
    """How many labels the task must have, where the metric is defined for so many only."""


def _accuracy(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    return counts_BN @ (p_RN == t_N).T.astype(float) / len(t_N)


def _f1(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    # An unparsed answer is a mistake on either side: a miss where the target is positive, a false
    # alarm elsewhere (the reading of the T5 and HyperFormer evaluations).
    positive_N = t_N == 1
    claimed_RN = (p_RN == 1) | ((p_RN == UNPARSED) & ~positive_N)
    hits_BR = counts_BN @ (claimed_RN & positive_N).T.astype(float)
    either_BR = counts_BN @ claimed_RN.T.astype(float) + (counts_BN @ positive_N)[:, None]
    return _ratio(2 * hits_BR, either_BR)


def _matthews(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    import numpy as np

    # Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient",
    # 2004; an unparsed answer is a class of its own.
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
    import numpy as np

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
    import numpy as np

    # Every weighting has ranks of its own. They are multiples of a half, so every sum is exact. In
    # small parts, with the weightings as the last axis, all arrays stay in the processor's cache.
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
        import numpy as np

        self.order = np.argsort(values_N, kind="stable")
        _, self.repeats = np.unique(values_N, return_counts=True)
        self.ends = np.cumsum(self.repeats) - 1

    def centred_ranks(self, counts_NB: Array) -> tuple[Array, Array]:
        """In that order, the rank of each value less the mean of all ranks, which is (N + 1) / 2
        whatever was drawn, and the sum of their squares; equal values share a rank."""
        import numpy as np

        ascending_NB = counts_NB[self.order]
        last_UB = np.cumsum(ascending_NB, axis=0)[self.ends]
        middle_UB = (last_UB - len(counts_NB)) / 2
        middle_UB[1:] += last_UB[:-1] / 2
        x_NB = np.repeat(middle_UB, self.repeats, axis=0)
        return x_NB, np.einsum("nb,nb,nb->b", ascending_NB, x_NB, x_NB)


def _variance(mean_of_squares: Array, mean: Array) -> Array:
    # What cancellation leaves of a constant is not a variance.
    variance = mean_of_squares - mean**2
    return variance * (variance > 1e-12 * mean_of_squares)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """0 where the denominator is: a constant prediction knows nothing."""
    import numpy as np

    return np.divide(
        numerator, denominator, out=np.zeros_like(numerator, dtype=float), where=denominator > 0
    )


METRICS: Mapping[MetricName, Metric] = {
    "accuracy": Metric("classification", _accuracy),
    "f1": Metric("classification", _f1, labels=2),
    "matthews": Metric("classification", _matthews),
    "pearson": Metric("regression", _pearson),
    "spearman": Metric("regression", _spearman),
}
"""Every metric by its name in YAML; a new one is one entry here."""
