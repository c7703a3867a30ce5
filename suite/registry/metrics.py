"""The metrics that a task may name: which output each fits, and how it is computed.

A metric is computed from weighted sums, for R runs on B weightings of N examples at once, so that
all bootstrap resamples cost a few matrix products. The plain score is the case of equal weights.
Suffixes: R runs, N examples, B weightings, U distinct values, L labels, S scores of an example.

**Answers** of a run have one of these forms: class indices or numbers [N]; 0 or 1 for each label of
a multi-label task [N, L]; and, if one of the task's metrics orders examples, log-odds: of class 1
[N, 1], of each of more than two classes [N, S], or of each label [N, L]. The decision is part of
them: the class of the highest odds, every label whose odds are above one (a probability above 0.5).

numpy is imported by the functions that need it: `list` and `plan` read metrics and compute none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
OutputType = Literal["classification", "multilabel", "regression"]


@dataclass(frozen=True)
class Metric:
    """How well answers meet their targets, from 0 or -1 to 1."""

    outputs: tuple[OutputType, ...]
    """Which tasks it fits."""
    weighted: Callable[[Array, Array, Array], Array]
    """(answers [R, N] or [R, N, L], targets [N] or [N, L], counts [B, N]) -> [B, R].

    Counts say how often each example is drawn; each row of them sums to N. Answers and targets are
    class indices, 0 or 1 for each label, or numbers; answers are log-odds where it `orders`.
    """
    labels: int | None = None
    """How many labels the task must have, where the metric is defined for so many only."""
    orders: bool = False
    """Whether it looks at the order of examples by their log-odds, which are then recorded."""
    most_labels: int | None = None
    """How many labels the task may have at most."""


def ordered(metrics: Iterable[MetricName]) -> bool:
    """Whether one of these metrics orders examples, so that answers are log-odds."""
    return any(METRICS[name].orders for name in metrics)


def decided(answers_RN: Array, *, several: bool) -> Array:
    """Class indices [R, N] or, where a task has `several` labels at once, whether each is given
    [R, N, L]: what log-odds decide, and answers without odds as they are."""
    if several:
        return answers_RN > 0
    if answers_RN.ndim == 2:
        return answers_RN
    return answers_RN[..., 0] > 0 if answers_RN.shape[-1] == 1 else answers_RN.argmax(-1)


def weighted(name: MetricName, answers_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    """A metric of R runs on B weightings of N examples: [B, R]. The answers have any of their forms
    that fits the metric."""
    metric = METRICS[name]
    given = answers_RN if metric.orders else decided(answers_RN, several=t_N.ndim == 2)
    return metric.weighted(given, t_N, counts_BN)


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


def _macro_f1(p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    import numpy as np

    # Of labels all count, a label that occurs nowhere as 0; of classes those that are true or
    # claimed somewhere among the drawn examples (as in scikit-learn). An unparsed answer is a miss.
    if t_N.ndim == 2:
        return sum(_label_f1(p_RN, t_N, counts_BN)) / t_N.shape[1]
    total = classes = np.zeros((len(counts_BN), len(p_RN)))
    for label in np.setdiff1d(np.union1d(p_RN, t_N), UNPARSED):
        hits_BR, either_BR = _hits(p_RN == label, t_N == label, counts_BN)
        total = total + _ratio(2 * hits_BR, either_BR)
        classes = classes + (either_BR > 0)
    return _ratio(total, classes)


def _micro_f1(p_RNL: Array, t_NL: Array, counts_BN: Array) -> Array:
    import numpy as np

    # Hits and claims of all labels together.
    hits = either = np.zeros((len(counts_BN), len(p_RNL)))
    for label in range(t_NL.shape[1]):
        own_hits, own_either = _hits(p_RNL[..., label], t_NL[:, label] == 1, counts_BN)
        hits, either = hits + own_hits, either + own_either
    return _ratio(2 * hits, either)


def _label_f1(p_RNL: Array, t_NL: Array, counts_BN: Array) -> Iterator[Array]:
    for label in range(t_NL.shape[1]):
        hits_BR, either_BR = _hits(p_RNL[..., label], t_NL[:, label] == 1, counts_BN)
        yield _ratio(2 * hits_BR, either_BR)


def _hits(claimed_RN: Array, true_N: Array, counts_BN: Array) -> tuple[Array, Array]:
    """How often a class is claimed and true, and how often either, both counted twice: [B, R]."""
    hits_BR = counts_BN @ (claimed_RN & true_N).T.astype(float)
    return hits_BR, counts_BN @ claimed_RN.T.astype(float) + (counts_BN @ true_N)[:, None]


def _auroc(p_RNS: Array, t_N: Array, counts_BN: Array) -> Array:
    """The mean over classes, each against the rest, or over labels, of the probability that an
    example of it has higher odds than another one (ties count half).

    A class that all or none of the drawn examples have is left out; with no class left it is 0.5.
    """
    import numpy as np

    truths = _truths(p_RNS, t_N)
    total = np.zeros((len(counts_BN), len(p_RNS)))
    classes_B1 = np.zeros((len(counts_BN), 1))
    for number, true_N in enumerate(truths):
        hits_B1 = (counts_BN @ true_N)[:, None]
        pairs_B1 = hits_B1 * (len(true_N) - hits_B1)
        for run, p_N in enumerate(p_RNS[..., number]):
            above_B = _rank_sums(_Ties(p_N), true_N, counts_BN)
            # Mann and Whitney's U over the pairs, about its mean.
            total[:, run] += _ratio(above_B, pairs_B1[:, 0]) + 0.5 * (pairs_B1[:, 0] > 0)
        classes_B1 += pairs_B1 > 0
    return np.where(classes_B1 > 0, total / np.maximum(classes_B1, 1), 0.5)


def _truths(p_RNS: Array, t_N: Array) -> list[Array]:
    """Which examples are of each class that has log-odds, [N] each."""
    if t_N.ndim == 2:
        return [true_N == 1 for true_N in t_N.T]
    scores = p_RNS.shape[-1]
    return [t_N == 1] if scores == 1 else [t_N == label for label in range(scores)]


def _rank_sums(ties: _Ties, true_N: Array, counts_BN: Array) -> Array:
    """The sum over the drawn examples that are `true_N` of their ranks, less the mean rank: [B]."""
    import numpy as np

    parts = []
    for part_BN in np.split(counts_BN, range(_PART, len(counts_BN), _PART)):
        ascending_NB = part_BN.T[ties.order]
        own_N = true_N[ties.order]
        x_NB = ties.centred_ranks(ascending_NB)
        parts.append(np.einsum("nb,nb->b", ascending_NB[own_N], x_NB[own_N]))
    return np.concatenate(parts)


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
        ascending_NB = counts_NB[true.order]
        y_NB = true.centred_ranks(ascending_NB)
        y_B = np.einsum("nb,nb,nb->b", ascending_NB, y_NB, y_NB)
        weighted_NB = np.empty_like(counts_NB)
        weighted_NB[true.order] = ascending_NB * y_NB
        columns = []
        for own in ties:
            ascending_NB = counts_NB[own.order]
            x_NB = own.centred_ranks(ascending_NB)
            x_B = np.einsum("nb,nb,nb->b", ascending_NB, x_NB, x_NB)
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

    def centred_ranks(self, ascending_NB: Array) -> Array:
        """In that order, of counts in that order, too: the rank of each value less the mean of all
        ranks, which is (N + 1) / 2 whatever was drawn; equal values share a rank."""
        import numpy as np

        last_UB = np.cumsum(ascending_NB, axis=0)[self.ends]
        middle_UB = (last_UB - len(ascending_NB)) / 2
        middle_UB[1:] += last_UB[:-1] / 2
        return np.repeat(middle_UB, self.repeats, axis=0)


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
    "accuracy": Metric(("classification",), _accuracy),
    "f1": Metric(("classification",), _f1, labels=2),
    "matthews": Metric(("classification",), _matthews),
    "macro_f1": Metric(("classification", "multilabel"), _macro_f1),
    "micro_f1": Metric(("multilabel",), _micro_f1),
    "auroc": Metric(("classification", "multilabel"), _auroc, orders=True, most_labels=100),
    "pearson": Metric(("regression",), _pearson),
    "spearman": Metric(("regression",), _spearman),
}
"""Every metric by its name in YAML; a new one is one entry here."""
