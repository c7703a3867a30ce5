"""What the rows of a board say together about how much runs vary.

A row has three seeds, so that its own variance is a matter of luck: an interval made of it is far
too narrow as often as far too wide. Its variance is therefore moved towards that of the other rows
by as much as these agree (Smyth, "Linear models and empirical Bayes methods for assessing
differential expression", 2004, sections 3 and 6.2): with s_i^2 known with d_i degrees of freedom
and a prior (d_0, s_0^2) fitted to all rows, row i has

    (d_0 s_0^2 + d_i s_i^2) / (d_0 + d_i)    with d_0 + d_i degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import optimize, special

from suite.results.statistics import Array, Estimate, RunNoise, satterthwaite

RARE = 0.01
"""Variances smaller than all but this share would be, were the true ones alike, are raised to that:
seeds can agree by chance, and the logarithm of nothing is no evidence."""


def moderated(
    estimates: Sequence[Estimate], pool: RunNoise | None = None
) -> tuple[list[Estimate], RunNoise | None]:
    """The estimates with moderated run noise, and the noise of a row of which nothing is known.

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
    variances = np.array([one.cell_variances.sum() for one in estimates])
    freedoms = np.empty(len(estimates))
    for i, one in enumerate(estimates):
        alike = [e.cell_variances for e in estimates if len(e.runs) == len(one.runs)]
        freedoms[i] = satterthwaite(np.mean(alike, axis=0), one.seeds - 1)
    return variances, freedoms


def _shrunk(variances: Array, freedoms: Array) -> tuple[list[RunNoise], RunNoise]:
    """Moderated noise of every row, and that of a further one."""
    everything = float(freedoms.sum())
    if len(variances) == 1:
        own = RunNoise(float(variances[0]), everything)
        return [own], own
    if not variances.any():
        return [RunNoise(0.0, everything)] * len(variances), RunNoise(0.0, everything)
    half = freedoms / 2
    least = special.gammaincinv(half, RARE) / special.gammaincinv(half, 0.5)
    raised = np.maximum(variances, least * np.median(variances[variances > 0]))
    prior_variance, prior_freedom = _prior(raised, freedoms)
    if np.isinf(prior_freedom):
        pooled = RunNoise(float(freedoms @ variances / everything), everything)
        return [pooled] * len(variances), pooled
    joint = prior_freedom + freedoms
    shrunk = (prior_freedom * prior_variance + freedoms * variances) / joint
    noises = [
        RunNoise(float(variance), float(min(freedom, everything)))
        for variance, freedom in zip(shrunk, joint, strict=True)
    ]
    return noises, RunNoise(prior_variance, min(prior_freedom, everything))


def _prior(variances: Array, freedoms: Array) -> tuple[float, float]:
    """(s_0^2, d_0) from the mean and the variance of log s_i^2 (Smyth 2004, section 6.2)."""
    half = freedoms / 2
    logs = np.log(variances) - special.digamma(half) + np.log(half)
    expected = float(special.polygamma(1, half).mean())
    excess = float(np.var(logs, ddof=1)) - expected
    mean = float(logs.mean())
    # The standard error of a sample variance. Few rows can hardly show that they differ, and to
    # believe them where they do not would make the narrow intervals too narrow.
    rows = len(variances)
    kurtosis = float(special.polygamma(3, half).mean())
    if excess <= (kurtosis / rows + 2 * expected**2 / (rows - 1)) ** 0.5:
        return float(np.exp(mean)), np.inf
    # Between 1e-4 and 1e4 degrees of freedom, outside of which there is no telling.
    low, high = 5e-5, 5e3
    if special.polygamma(1, high) >= excess:
        return float(np.exp(mean)), np.inf
    if special.polygamma(1, low) <= excess:
        half_prior = low
    else:
        half_prior = float(optimize.brentq(lambda x: special.polygamma(1, x) - excess, low, high))
    variance = np.exp(mean + special.digamma(half_prior) - np.log(half_prior))
    return float(variance), 2 * half_prior
