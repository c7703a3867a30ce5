"""How far an order of methods agrees with a published one, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from suite.results.ranks import drawn_scores
from suite.results.statistics import LEVEL, Array, Estimate


@dataclass(frozen=True)
class Agreement:
    """Kendall's rank correlation (tau-b) with a published order, from -1 to 1, and its 95 %
    interval over test examples and runs. The published scores count as exact."""

    tau: float
    low: float
    high: float
    methods: int


def agreement(estimates: Sequence[Estimate], published: Sequence[float]) -> Agreement | None:
    """How the order of scores agrees with that of the `published` ones of the same methods; None
    if one of the two has no order.

    Raises ValueError if the run noise of a score is unknown.
    """
    reference = np.array(published)
    tau = _tau(np.array([[one.score] for one in estimates]), reference)
    if np.isnan(tau).any():
        return None
    tail = (1 - LEVEL) / 2
    drawn = _tau(drawn_scores(estimates), reference)
    low, high = np.nanquantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    return Agreement(float(tau[0]), float(low), float(high), len(estimates))


def _tau(scores: Array, reference: Array) -> Array:
    """Tau-b of every column of `scores` [methods, columns] with `reference` [methods] (Kendall
    1945): pairs in the same order minus pairs in the other, over the geometric mean of the numbers
    of pairs that either side orders."""
    first, second = np.array([*combinations(range(len(reference)), 2)]).T
    ours = np.sign(scores[first] - scores[second])
    theirs = np.sign(reference[first] - reference[second])[:, None]
    ordered = np.sqrt(np.abs(ours).sum(axis=0) * np.abs(theirs).sum())
    return np.divide(
        (ours * theirs).sum(axis=0), ordered, out=np.full(len(ordered), np.nan), where=ordered > 0
    )
