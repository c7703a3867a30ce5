"""How far an order of methods agrees with another one, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from suite.results.ranks import DRAWS, SEED, drawn_scores
from suite.results.statistics import LEVEL, Array, Estimate


@dataclass(frozen=True)
class Agreement:
    """Kendall's rank correlation (tau-b) with another order, from -1 to 1, and its 95 % interval
    over methods, test examples and runs."""

    tau: float
    low: float
    high: float
    methods: int
    p: float
    """Two-sided, that the orders have nothing to do with each other (Kendall 1938)."""


def agreement(estimates: Sequence[Estimate], published: Sequence[float]) -> Agreement | None:
    """How the order of scores agrees with that of the `published` ones of the same methods, which
    count as exact; None if one of the two has no order.

    Raises ValueError if the run noise of a score is unknown.
    """
    reference = np.array(published)[:, None]
    return _agreement(_scores(estimates), reference, drawn_scores(estimates), reference)


def mutual_agreement(estimates: Sequence[Estimate], others: Sequence[Estimate]) -> Agreement | None:
    """How two orders of the same methods agree, whose test examples and runs have nothing in
    common; None if one of the two has no order.

    Raises ValueError if the run noise of a score is unknown.
    """
    drawn = drawn_scores(estimates), drawn_scores(others, SEED + 1)
    return _agreement(_scores(estimates), _scores(others), *drawn)


def _scores(estimates: Sequence[Estimate]) -> Array:
    """[methods, 1]"""
    return np.array([[one.score] for one in estimates])


def _agreement(scores: Array, others: Array, drawn: Array, drawn_others: Array) -> Agreement | None:
    tau = _tau(scores, others)
    if np.isnan(tau).any():
        return None
    # Methods are drawn too: those of a board are a few of those there are, and a claim about an
    # order is one about methods that were not measured as well.
    rng = np.random.Generator(np.random.PCG64(SEED + 2))
    chosen = rng.integers(len(scores), size=(len(scores), DRAWS))
    others_of = np.broadcast_to(drawn_others, drawn.shape)
    taus = _tau(np.take_along_axis(drawn, chosen, 0), np.take_along_axis(others_of, chosen, 0))
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(taus, [tail, 1 - tail], method="inverted_cdf")
    # Drawing adds to the noise that is in the scores, and noise moves tau towards 0: the interval
    # is widened to hold the observed one.
    return Agreement(
        float(tau[0]),
        min(float(low), float(tau[0])),
        max(float(high), float(tau[0])),
        len(scores),
        float(stats.kendalltau(scores, others).pvalue),
    )


def _tau(scores: Array, others: Array) -> Array:
    """Tau-b of every column of `scores` [methods, columns] with that of `others` [methods, columns
    or 1] (Kendall 1945): pairs in the same order minus pairs in the other, over the geometric mean
    of the numbers of pairs that either side orders."""
    first, second = np.array([*combinations(range(len(scores)), 2)]).T
    ours = np.sign(scores[first] - scores[second])
    theirs = np.sign(others[first] - others[second])
    ordered = np.sqrt(np.abs(ours).sum(axis=0) * np.abs(theirs).sum(axis=0))
    return np.divide(
        (ours * theirs).sum(axis=0), ordered, out=np.full(len(ordered), np.nan), where=ordered > 0
    )
