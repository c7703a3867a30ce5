"""How sure a score is: its interval, and whether two scores differ significantly.

Two things make a score uncertain, and both are estimated from the results themselves.

- The *test examples*: all methods are scored on the same bootstrap resamples of a task's test
  examples (`suite.results.resampling`), so that differences between methods are paired by example.
- The *runs*: with two or more seeds, the variance between seeds, summed over the cells that were
  trained independently (T of them per seed for a per-task method, one for a joint method). Three
  seeds say little about one row's variance; `suite.results.moderation` lets the rows of a board
  inform each other.

The two variances add, with Welch-Satterthwaite degrees of freedom (Satterthwaite 1946). Seeds are
not resampled, because three are too few: the mean of a resample never lies beyond the most extreme
of the three, and if seeds differ much, 95 % intervals made that way covered the truth in 81 % of
simulated experiments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

Array = np.ndarray
LEVEL = 0.95


@dataclass(frozen=True)
class RunNoise:
    """How much the score of one run varies from seed to seed, and how well that is known."""

    variance: float
    """Of the score of one seed, in points squared."""
    freedom: float
    """Degrees of freedom of that estimate; infinite if the variance is known exactly."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A score over S seeds, with all that its uncertainty is computed from.

    `runs` [K, S]: what each of K independently trained cells contributes to the score of each
    seed; `resampled` [B]: the score, averaged over seeds, on each resample of the test examples;
    `noise`: that of the runs, if more is known of it than from these seeds alone; `training`: the
    same for estimates on one board whose runs are the same, stored in several precisions.
    """

    runs: Array
    resampled: Array
    noise: RunNoise | None = None
    training: tuple[str, ...] = ()

    def shares_runs(self, other: "Estimate") -> bool:
        """Whether both are of the same runs, so that a lucky seed is lucky for both."""
        return bool(self.training) and self.training == other.training

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(self.runs.sum(axis=0).mean())

    @property
    def seeds(self) -> int:
        """How many seeds were run."""
        return self.runs.shape[1]

    @property
    def cell_variances(self) -> Array:
        """Variance of one seed's contribution, for each of the K cells [K]; empty with one seed."""
        return self.runs.var(axis=1, ddof=1) if self.seeds > 1 else np.zeros(0)

    @property
    def run_noise(self) -> RunNoise | None:
        """The given noise, or the noise estimated from these seeds; None with one seed and no
        given noise."""
        if self.noise is not None:
            return self.noise
        if self.seeds < 2:
            return None
        return RunNoise(
            float(self.cell_variances.sum()),
            satterthwaite(self.cell_variances, self.seeds - 1),
        )

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval over seeds and examples; None if the run noise is unknown."""
        if self.run_noise is None:
            return None
        half = _uncertainty(self.resampled, [_noise(self)]).half_width
        return self.score - half, self.score + half


def satterthwaite(variances: Array, freedom: float) -> float:
    """Degrees of freedom of a sum of variances, each estimated with `freedom` of them."""
    squares = float((variances**2).sum())
    return float(variances.sum()) ** 2 * freedom / squares if squares else freedom * len(variances)


def total(parts: Sequence[Estimate], *, trained_together: bool) -> Estimate:
    """The sum of estimates on different tasks over the same seeds.

    `trained_together`: the parts come from one run per seed, so their errors may be correlated.
    """
    runs = np.concatenate([part.runs for part in parts])
    if trained_together:
        # Summing before variances are taken keeps the covariance of the tasks in them. Cells
        # that were trained independently have none, and K variances give more degrees of freedom.
        runs = runs.sum(axis=0, keepdims=True)
    return Estimate(runs, np.sum([part.resampled for part in parts], axis=0))


@dataclass(frozen=True)
class Comparison:
    """`a` minus `b` on the same examples: difference, 95 % interval, two-sided p."""

    difference: float
    low: float
    high: float
    p: float
    detectable: float
    """The true difference that such a comparison finds with 80 % power at 5 %."""


def compare(a: Estimate, b: Estimate) -> Comparison:
    """Compare two methods, paired by test example; their runs are independent of each other, or
    the same, and then paired too.

    Raises ValueError if the run noise of one of them is unknown.
    """
    return contrast([a], [b])


def contrast(plus: Sequence[Estimate], minus: Sequence[Estimate]) -> Comparison:
    """The scores of `plus` together, less those of `minus`, paired by test example. Runs are
    independent of each other; an estimate of each side that are of the same runs are paired by run.
    Two against two is a difference of differences.

    Raises ValueError if the run noise of one of them is unknown.
    """
    # Resamples are subtracted one by one: examples that are hard for both cancel out.
    resampled = sum(one.resampled for one in plus) - sum(one.resampled for one in minus)
    found = _uncertainty(np.asarray(resampled), [*_noises(plus, minus)])
    difference = sum(one.score for one in plus) - sum(one.score for one in minus)
    if found.error > 0:
        p = float(2 * special.stdtr(found.freedom, -abs(difference) / found.error))
    else:
        p = float(difference == 0)
    # A true difference of half_width + power is estimated above half_width in 80 % of experiments.
    power = float(special.stdtrit(found.freedom, 0.8)) * found.error
    return Comparison(
        difference,
        difference - found.half_width,
        difference + found.half_width,
        p,
        found.half_width + power,
    )


@dataclass(frozen=True)
class _Uncertainty:
    error: float
    freedom: float

    @property
    def half_width(self) -> float:
        """Of the 95 % interval."""
        return float(special.stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.error


def _noise(one: Estimate) -> RunNoise:
    """That of the mean over seeds."""
    if one.run_noise is None:
        raise ValueError("one seed alone does not tell how runs vary")
    return RunNoise(one.run_noise.variance / one.seeds, one.run_noise.freedom)


def _noises(plus: Sequence[Estimate], minus: Sequence[Estimate]) -> Iterator[RunNoise]:
    """Of the runs of a contrast. One seed does not tell how far the difference of two precisions
    varies: then both count in full, as if their runs were independent."""
    left = list(minus)
    for one in plus:
        twin = next((i for i, other in enumerate(left) if one.shares_runs(other)), None)
        if twin is None or one.runs.shape != left[twin].runs.shape or one.seeds < 2:
            yield _noise(one)
        else:
            other = left.pop(twin)
            yield _noise(Estimate(one.runs - other.runs, one.resampled - other.resampled))
    yield from map(_noise, left)


def _uncertainty(resampled: Array, noises: Sequence[RunNoise]) -> _Uncertainty:
    """Of a score, or of a difference of two, from its resamples [B] and the noise of its runs."""
    # The variance over examples counts as known: a thousand resamples of hundreds of examples
    # determine it far better than three seeds determine theirs, so `spread` has runs alone.
    variance, spread = float(np.var(resampled, ddof=1)), 0.0
    for noise in noises:
        variance += noise.variance
        spread += noise.variance**2 / noise.freedom
    return _Uncertainty(variance**0.5, variance**2 / spread if spread > 0 else np.inf)


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which hypotheses are rejected when all of them are tested together (Holm 1979)."""
    rejected = [False] * len(p_values)
    # The smallest p is compared with 5 % / n, the next with 5 % / (n - 1), ...; nothing after the
    # first failure is rejected, which keeps the chance of any false rejection below 5 %.
    ascending = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for step, i in enumerate(ascending):
        if p_values[i] > (1 - LEVEL) / (len(p_values) - step):
            break
        rejected[i] = True
    return rejected
