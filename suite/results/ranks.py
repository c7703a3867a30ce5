"""Ranks, how sure they are, and which methods may be the best.

Two questions are kept apart. The interval of a rank answers "where would this method be on another
test set and with other seeds?" by drawing scores anew. The mark for the best answers "is the best
score significantly higher than this one?" by paired tests, which are much sharper, because test
examples that are hard for one method are mostly hard for the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import special

from suite.results.statistics import LEVEL, Array, Estimate, compare, holm

DRAWS = 4000
SEED = 20240
FAR = 3.0
"""A comparison says nothing if what it would detect is so many times what the others would."""


@dataclass(frozen=True)
class Standing:
    """How a score stands to the best one."""

    best: bool
    """Whether the best score is not significantly higher."""
    unsure: bool = False
    """Whether that is so only because its runs differ so much: the comparison with the best would
    detect no difference below `FAR` times the median of what the others detect."""


@dataclass(frozen=True)
class Rank:
    """A method's place by score, the 95 % interval of its true place, and how it stands to the
    best."""

    place: int
    low: int
    high: int
    best: bool
    unsure: bool = False


def ranks(estimates: Sequence[Estimate]) -> list[Rank]:
    """The rank of every method; equal scores share a place.

    Raises ValueError if the run noise of one of them is unknown.
    """
    if not estimates:
        return []
    scores = np.array([one.score for one in estimates])
    places = 1 + (scores[None, :] > scores[:, None]).sum(axis=1)
    # A leader among many close followers is rarely first in a draw, so that its interval may not
    # hold its own place: it is widened to do so.
    return [
        Rank(int(place), min(low, int(place)), max(high, int(place)), own.best, own.unsure)
        for place, low, high, own in zip(
            places, *_intervals(estimates), standings(estimates), strict=True
        )
    ]


def standings(estimates: Sequence[Estimate]) -> list[Standing]:
    """How every score stands to the best of them."""
    leader = max(estimates, key=lambda one: one.score)
    compared = [None if one is leader else compare(leader, one) for one in estimates]
    # Holm's correction: with twenty comparisons at 5 %, one would be significant by chance.
    told_apart = iter(holm([one.p for one in compared if one]))
    # Of one training in several precisions much smaller differences are found.
    detectable = [
        one.detectable if one and not leader.shares_runs(estimate) else None
        for one, estimate in zip(compared, estimates, strict=True)
    ]
    found = []
    for i, one in enumerate(compared):
        best = one is None or not next(told_apart)
        found.append(Standing(best, unsure=best and _is_far(i, detectable)))
    return found


def _is_far(i: int, detectable: Sequence[float | None]) -> bool:
    own = detectable[i]
    others = [value for j, value in enumerate(detectable) if value is not None and j != i]
    return own is not None and bool(others) and own > FAR * float(np.median(others))


def _intervals(estimates: Sequence[Estimate]) -> tuple[list[int], list[int]]:
    """The 2.5th and the 97.5th percentile of every method's rank when all scores are drawn anew."""
    scores = drawn_scores(estimates)
    above = (scores[None, :, :] > scores[:, None, :]).sum(axis=1) + 1
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(above, [tail, 1 - tail], axis=1, method="inverted_cdf").astype(int)
    return low.tolist(), high.tolist()


def drawn_scores(estimates: Sequence[Estimate], seed: int = SEED) -> Array:
    """Scores drawn anew [methods, DRAWS]: test examples by their resamples, the same for all
    methods; runs from Student's t, the same for one training that is stored in several precisions.

    Raises ValueError if the run noise of one of them is unknown.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    # One draw of examples for all methods: luck with the test set moves all of them together, and
    # a rank depends on differences alone.
    drawn = rng.integers(len(estimates[0].resampled), size=DRAWS)
    scores = np.empty((len(estimates), DRAWS))
    luck: dict[tuple[str, ...], Array] = {}
    for i, one in enumerate(estimates):
        noise = one.run_noise
        if noise is None:
            raise ValueError("one seed alone does not tell how runs vary")
        share = luck[one.training] if one.training in luck else rng.integers(DRAWS, size=DRAWS)
        if one.training:
            luck[one.training] = share
        t = _quantiles(noise.freedom)[share]
        examples = one.resampled[drawn] - one.resampled.mean()
        scores[i] = one.score + examples + t * (noise.variance / one.seeds) ** 0.5
    return scores


@lru_cache(maxsize=256)
def _quantiles(freedom: float) -> Array:
    """Of Student's t, in the middle of each of DRAWS equal shares: by inversion, because the
    streams of numpy's own t may change from version to version, and once, for it is slow."""
    found: Array = special.stdtrit(freedom, (np.arange(DRAWS) + 0.5) / DRAWS)
    return found


def detectable_difference(estimates: Sequence[Estimate]) -> float | None:
    """The median, over all pairs of trainings, of the difference that is detected with 80 % power
    at 5 %."""
    pairs = [
        compare(a, b).detectable for a, b in combinations(estimates, 2) if not a.shares_runs(b)
    ]
    return float(np.median(pairs)) if pairs else None
