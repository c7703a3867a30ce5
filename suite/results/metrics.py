"""How well a task is solved, and a track: per-task metrics, a task's score, a track's score.

All values are in per cent, correlations and MCC times 100. Each metric imports its library when it
is first computed: accuracy and the leaderboards need none.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from suite.errors import Diverged
from suite.registry.schema import MetricName, TaskEntry, TrackEntry

Array = np.ndarray
UNPARSED = -1
"""The prediction that stands for an answer which could not be parsed."""


def _accuracy(predictions: Array, targets: Array) -> float:
    return float(np.mean(predictions == targets))


def _f1(predictions: Array, targets: Array) -> float:
    from sklearn.metrics import f1_score

    # An unparsed answer is a mistake on either side: a miss where the target is positive, a false
    # alarm elsewhere (the reading of the T5 and HyperFormer evaluations).
    positive = np.where(predictions == UNPARSED, targets != 1, predictions == 1)
    return float(f1_score(targets == 1, positive, zero_division=0.0))


def _matthews(predictions: Array, targets: Array) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(targets, predictions))


def _correlation(coefficient: Literal["pearsonr", "spearmanr"]) -> Callable[[Array, Array], float]:
    def correlation(predictions: Array, targets: Array) -> float:
        # Undefined for a constant: knowing nothing is worth nothing.
        if np.ptp(predictions) == 0 or np.ptp(targets) == 0:
            return 0.0
        from scipy import stats

        compute = getattr(stats, coefficient)
        return float(compute(predictions.astype(float), targets.astype(float))[0])

    return correlation


_METRICS: dict[MetricName, Callable[[Array, Array], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _correlation("pearsonr"),
    "spearman": _correlation("spearmanr"),
}


def evaluate(task: TaskEntry, predictions: Array, targets: Array) -> dict[str, float]:
    """Every metric of the task, in per cent.

    `predictions` and `targets`, both [N], are class indices, or numbers for regression. The
    prediction -1 is an answer that could not be parsed: it never equals a target, in F1 (positive
    class: label 1) it is a mistake, in MCC a class of its own. Constant predictions give 0 in
    F1, MCC and the correlations. Raises `Diverged` if a prediction is not finite.
    """
    if predictions.shape != targets.shape or predictions.ndim != 1:
        raise ValueError(f"predictions {predictions.shape} and targets {targets.shape} differ")
    if not np.isfinite(predictions).all():
        raise Diverged(f"{task.name}: the trained model predicts values that are not finite")
    return {name: 100 * _METRICS[name](predictions, targets) for name in task.metrics}


def score(metrics: Mapping[str, float]) -> float:
    """A task's score: the mean of its metrics."""
    return sum(metrics.values()) / len(metrics)


def contribution(track: TrackEntry, task: str, accuracy: Array | float) -> Array | float:
    """What a task with this score (per cent) adds to the track's score; any shape.

    `mean`: a T-th of it. `decathlon`: 1000 ((E_max - E)+ / E_max)^2 points with E the error and
    E_max twice the baseline's (Rebuffi et al., "Learning multiple visual domains with residual
    adapters", 2017, section 4): 250 points at the baseline's error, 1000 without error.
    """
    if track.score == "mean":
        return accuracy / len(track.tasks)
    allowed = 2 * track.baseline_errors[task]
    return 1000 * (np.maximum(allowed - (1 - accuracy / 100), 0) / allowed) ** 2


def track_score(track: TrackEntry, scores: Mapping[str, float]) -> float:
    """A track's score from the scores of all its tasks; raises ValueError if one is missing."""
    if missing := [task for task in track.tasks if task not in scores]:
        raise ValueError(f"no track score without {', '.join(missing)}")
    return float(sum(contribution(track, task, scores[task]) for task in track.tasks))
