"""How clearly a search chose: the lead of its best rate, and whether that may be chance."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from suite.results.searches import Search, best_of
from suite.results.statistics import LEVEL


@dataclass(frozen=True)
class Margin:
    """How far the best rate is ahead of the next best one, in points of validation score."""

    points: float
    half_width: float | None
    """Of the 95 % interval of that difference: paired by task, with Student's t over tasks. None
    with one task. Not in it is luck that all tasks of a joint run have in common."""

    @property
    def within_noise(self) -> bool | None:
        """Whether the difference may be chance; None if that is unknown."""
        return None if self.half_width is None else self.points <= self.half_width

    def __str__(self) -> str:
        if self.half_width is None:
            return f"{self.points:.1f}"
        noise = ", within noise" if self.within_noise else ""
        return f"{self.points:.1f} ± {self.half_width:.1f}{noise}"


def margin_of(search: Search) -> Margin | None:
    """The lead of a search's best rate; None if no two rates finished."""
    best = search.best
    second = best_of(trial for trial in search.trials if trial is not best)
    if best is None or best.score is None or second is None or second.score is None:
        return None
    gaps = np.array([best.scores[task] - second.scores[task] for task in best.scores])
    half_width = None
    if len(gaps) > 1:
        quantile = float(special.stdtrit(len(gaps) - 1, (1 + LEVEL) / 2))
        half_width = quantile * float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    return Margin(best.score - second.score, half_width)
