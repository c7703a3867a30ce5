"""How much runs vary, estimated from all rows of a board together.

A row has three seeds, so that its own variance is mostly chance: an interval made from it is far
too narrow as often as far too wide. Its variance is therefore moved towards that of the other rows,
the more so the more these agree (Smyth, "Linear models and empirical Bayes methods for assessing
differential expression", 2004, sections 3 and 6.2): with s_i^2 known with d_i degrees of freedom
and a prior (d_0, s_0^2) fitted to all rows, row i has

    (d_0 s_0^2 + d_i s_i^2) / (d_0 + d_i)    with d_0 + d_i degrees of freedom.

A row whose runs vary far more than those of the others keeps its own variance: moved towards
theirs, it would look surer than it is (Phipson et al., "Robust hyperparameter estimation protects
against hypervariable genes", 2016, give such rows less of the prior; here they get none of it, and
the prior of the others is fitted without them).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import optimize, special

from suite.results.statistics import Array, Estimate, RunNoise, satterthwaite

RARE = 0.01
"""If all true variances were equal, this share of the estimates would be smaller than some bound;
estimates below the bound are raised to it. Seeds can agree by chance, and the logarithm of a
variance near zero would count as strong evidence."""
LEVEL = 0.05
"""Of the test for rows that vary far more than the others, over all rows of a board."""


def moderated(
    estimates: Sequence[Estimate], pool: RunNoise | None = None
) -> tuple[list[Estimate], RunNoise | None]:
    """The estimates with moderated run noise, and the noise assumed for a row with one seed.

    The rows must be of one kind (all per-task or all joint) on one board. Rows with one seed take
    the noise of the others, or `pool` where no row has more; without that they stay as they are.
    """
    several = [i for i, one in enumerate(estimates) if one.seeds > 1]
    if several:
        variances, freedoms = _observed([estimates[i] for i in several])
        noises, pool = _shrunk(variances, freedoms)
        known = dict(zip(several, noises, strict=True))
    else:
        known = {}
    noise = [known.get(i, pool) for i in range(len(estimates))]
    return [replace(one, noise=own) for one, own in zip(estimates, noise, strict=True)], pool


def _observed(estimates: Sequence[Estimate]) -> tuple[Array, Array]:
    """Every row's variance and degrees of freedom [n].

    A sum over tasks has the fewer degrees of freedom the more its tasks differ. How much they
    differ is taken from all rows with the same number of cells, since one row hardly tells.
    """
    cells = [one.cell_variances for one in estimates]
    typical = {
        count: np.mean([own for own in cells if len(own) == count], axis=0)
        for count in {len(own) for own in cells}
    }
    freedoms = [
        satterthwaite(typical[len(own)], one.seeds - 1)
        for one, own in zip(estimates, cells, strict=True)
    ]
    return np.array([own.sum() for own in cells]), np.array(freedoms)


def _shrunk(variances: Array, freedoms: Array) -> tuple[list[RunNoise], RunNoise]:
    """Moderated noise of every row, and that of a further one."""
    everything = float(freedoms.sum())
    # One row has no others to be moved towards.
    if len(variances) == 1:
        own = RunNoise(float(variances[0]), everything)
        return [own], own
    usual = _usual(variances, freedoms)
    prior_variance, prior_freedom = _fitted(variances[usual], freedoms[usual])
    noises = []
    for variance, freedom, with_others in zip(variances, freedoms, usual, strict=True):
        if not with_others:
            moved, known = variance, freedom
        elif np.isinf(prior_freedom):
            moved, known = prior_variance, float(freedoms[usual].sum())
        else:
            known = prior_freedom + freedom
            moved = (prior_freedom * prior_variance + freedom * variance) / known
        # No estimate can rest on more degrees of freedom than all rows have together.
        noises.append(RunNoise(float(moved), float(min(known, everything))))
    prior = RunNoise(prior_variance, min(prior_freedom, everything))
    if usual.all():
        return noises, prior
    rows = [prior if alike else own for alike, own in zip(usual, noises, strict=True)]
    return noises, _of_a_further_row(rows, everything)


def _of_a_further_row(rows: Sequence[RunNoise], everything: float) -> RunNoise:
    """The noise of a row of which nothing is known, which may be as unusual as any of these.

    Its runs are draws from a mixture of theirs, in which the one that varies most counts twice:
    among one row more it is as likely as any other that the new one varies most. The mixture is
    told as Student's t with the freedom of a mean of the variances (Satterthwaite 1946), and with
    the variance that gives it the mixture's 95 % interval.
    """
    weighted = np.array([row.freedom * row.variance for row in rows])
    known = np.array([row.freedom for row in rows])
    freedom = min(float(weighted.sum() ** 2 / (weighted**2 / known).sum()), everything)
    mixed = [*rows, max(rows, key=lambda row: row.variance)]
    varied = [row for row in mixed if row.variance > 0]
    spread = np.array([row.variance for row in varied]) ** 0.5
    freedoms = np.array([row.freedom for row in varied])

    def beyond(width: float) -> float:
        tails = 2 * special.stdtr(freedoms, -width / spread)
        return float(tails.sum()) / len(mixed) - LEVEL

    if beyond(0.0) <= 0:
        # So few vary that the interval has no width: their mean says that some do.
        return RunNoise(float(np.mean([row.variance for row in rows])), freedom)
    widest = 2 * float((spread * special.stdtrit(freedoms, 1 - LEVEL / 2)).max())
    width = optimize.brentq(beyond, 0.0, widest)
    return RunNoise(float((width / special.stdtrit(freedom, 1 - LEVEL / 2)) ** 2), freedom)


def _usual(variances: Array, freedoms: Array) -> np.ndarray:
    """Which rows do not vary far more than the others [n]: an F test of the largest variance
    against the prior fitted to all others, with Bonferroni's correction, until one passes."""
    usual = np.ones(len(variances), dtype=bool)
    # Fewer than three others do not show how much variances differ.
    while usual.sum() > 3:
        largest = int(np.argmax(np.where(usual, variances, -np.inf)))
        others = usual.copy()
        others[largest] = False
        variance, freedom = _fitted(variances[others], freedoms[others])
        own, known = float(freedoms[largest]), min(freedom, float(freedoms[others].sum()))
        if not variances[largest]:
            break
        # Where the seeds of all others agree exactly, any variance is far larger.
        chance = special.fdtrc(own, known, variances[largest] / variance) if variance else 0.0
        if chance * usual.sum() >= LEVEL:
            break
        usual = others
    return usual


def _fitted(variances: Array, freedoms: Array) -> tuple[float, float]:
    """(s_0^2, d_0) of the rows; d_0 is infinite where they do not differ more than chance explains,
    and s_0^2 is then their pooled variance."""
    # Every row gave the same score for all seeds: there is no logarithm to fit.
    if not variances.any():
        return 0.0, np.inf
    # A variance estimated with d degrees of freedom is a gamma variate of shape d / 2: `least` is
    # its quantile at `RARE`, over its median.
    half = freedoms / 2
    least = special.gammaincinv(half, RARE) / special.gammaincinv(half, 0.5)
    raised = np.maximum(variances, least * np.median(variances[variances > 0]))
    variance, freedom = _prior(raised, freedoms)
    if np.isinf(freedom):
        # The raw variances are pooled, because raising some of them would bias it upwards.
        variance = float(freedoms @ variances / freedoms.sum())
    return variance, freedom


def _prior(variances: Array, freedoms: Array) -> tuple[float, float]:
    """(s_0^2, d_0) from the mean and the variance of log s_i^2 (Smyth 2004, section 6.2)."""
    # log s_i^2 scatters because s_i^2 is estimated (trigamma(d_i / 2), known) and because the true
    # variances differ (trigamma(d_0 / 2)). What is observed beyond the first part gives d_0.
    half = freedoms / 2
    logs = np.log(variances) - special.digamma(half) + np.log(half)
    expected = float(special.polygamma(1, half).mean())
    excess = float(np.var(logs, ddof=1)) - expected
    mean = float(logs.mean())
    # An excess below two standard errors of a sample variance is taken for chance. A few rows
    # hardly show whether their true variances differ; treating chance as a difference would
    # leave the smallest variances, and so the intervals made from them, too small.
    rows = len(variances)
    kurtosis = float(special.polygamma(3, half).mean())
    if excess <= 2 * (kurtosis / rows + 2 * expected**2 / (rows - 1)) ** 0.5:
        return float(np.exp(mean)), np.inf
    # d_0 is searched between 1e-4 and 1e4; beyond these the result would hardly change.
    low, high = 5e-5, 5e3
    if special.polygamma(1, high) >= excess:
        return float(np.exp(mean)), np.inf
    if special.polygamma(1, low) <= excess:
        half_prior = low
    else:
        half_prior = float(optimize.brentq(lambda x: special.polygamma(1, x) - excess, low, high))
    variance = np.exp(mean + special.digamma(half_prior) - np.log(half_prior))
    return float(variance), 2 * half_prior
