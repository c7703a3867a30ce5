"""Task scores on bootstrap resamples of the test examples, for many runs at once.

A resample is a row of counts: how often each example was drawn.
Suffixes: R runs, N test examples, B resamples.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from suite.registry.metrics import METRICS

Array = np.ndarray
RESAMPLES = 1000
_BLOCK = 2_000_000
"""Counts held at once, which bounds the memory for large test sets."""


def weighted_scores(metrics: Sequence[str], p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    """The mean of the metrics, in per cent, of R runs on B weightings of N examples: [B, R].

    Each row of `counts_BN` sums to N.
    """
    found = [METRICS[name].weighted(p_RN, t_N, counts_BN) for name in metrics]
    return 100 * sum(found[1:], start=found[0]) / len(metrics)


def resampled_scores(
    task: str, metrics: Sequence[str], p_RN: Array, t_N: Array, resamples: int = RESAMPLES
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
