"""Task scores on bootstrap resamples of the test examples, for many runs at a time.

A resample is a row of counts: how often each example was drawn.
Suffixes: R runs, N test examples, B resamples.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from suite.registry.metrics import weighted

Array = np.ndarray
RESAMPLES = 1000
_BLOCK = 2_000_000
"""Counts held at once, which bounds the memory for large test sets."""
_KEPT = 10_000_000
"""Counts of one test set that are worth keeping until the next method."""


def weighted_scores(metrics: Sequence[str], p_RN: Array, t_N: Array, counts_BN: Array) -> Array:
    """The mean of the metrics, in per cent, of R runs on B weightings of N examples: [B, R].

    Answers and targets have the forms that `suite.registry.metrics` describes. Each row of
    `counts_BN` sums to N.
    """
    found = [weighted(name, p_RN, t_N, counts_BN) for name in metrics]
    return 100 * sum(found[1:], start=found[0]) / len(metrics)


def best_constant(metrics: Sequence[str], p_RN: Array, t_N: Array) -> float:
    """The best score, in per cent, of one fixed answer to all N examples in the form of `p_RN`.

    Of classes and numbers those that occur are tried; of sets of labels the most frequent label,
    the two most frequent and so on, of which one is the best under micro- and macro-F1.
    """
    if t_N.ndim == 2:
        frequent_first = np.argsort(-t_N.sum(axis=0), kind="stable")
        answers = [
            np.isin(range(t_N.shape[1]), frequent_first[: k + 1]) for k in range(t_N.shape[1])
        ]
    elif p_RN.ndim == 3:
        scores = p_RN.shape[-1]
        answers = [*(np.eye(scores) if scores > 1 else np.array([[0], [1]]))]
    else:
        answers = [*np.unique(t_N)]
    once_1N = np.ones((1, len(t_N)))
    # One after the other: all at once they would take a table of examples by labels by labels.
    return max(
        float(weighted_scores(metrics, np.broadcast_to(answer, p_RN[:1].shape), t_N, once_1N)[0, 0])
        for answer in answers
    )


def resampled_scores(
    task: str, metrics: Sequence[str], p_RN: Array, t_N: Array, resamples: int = RESAMPLES
) -> Array:
    """Task scores of R runs on bootstrap resamples of the N test examples: [resamples, R].

    The resamples depend on the task's name and targets alone: every run on this task, now or later,
    gets the same ones, so that runs can be compared in pairs and a page does not change when a
    method is added.
    """
    blocks = _resamples(task, t_N, resamples)
    return np.concatenate([weighted_scores(metrics, p_RN, t_N, block) for block in blocks])


def _resamples(task: str, t_N: Array, resamples: int) -> Iterator[Array]:
    content = task.encode() + np.asarray(t_N, dtype="<f8").tobytes()
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
    n = len(t_N)
    blocks = _kept(seed, n, resamples) if n * resamples <= _KEPT else _drawn(seed, n, resamples)
    return (block.astype(float) for block in blocks)


def _drawn(seed: int, n: int, resamples: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        yield counts.astype(np.uint16 if n < 2**16 else np.uint32)


@functools.lru_cache(maxsize=24)
def _kept(seed: int, n: int, resamples: int) -> tuple[Array, ...]:
    """The methods of a board meet the same resamples one after the other."""
    return tuple(_drawn(seed, n, resamples))
