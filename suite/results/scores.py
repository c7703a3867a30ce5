"""How well a task is solved, and a track: per-task metrics, a task's score, a track's score.

All values are in per cent, correlations and MCC times 100.
"""

from collections.abc import Mapping

import numpy as np

from suite.errors import Diverged
from suite.registry.metrics import ordered, weighted
from suite.registry.schema import Classification, Regression, TaskEntry, TrackEntry

Array = np.ndarray


def evaluate(task: TaskEntry, predictions: Array, targets: Array) -> dict[str, float]:
    """Every metric of the task, in per cent.

    `predictions` and `targets` have the shapes of `shapes`: class indices, numbers, 0 or 1 for each
    label, or log-odds (`suite.registry.metrics`). The prediction -1 is an answer that could not be
    parsed: it never equals a target, in F1 (positive class: label 1) it is a mistake, in macro-F1 a
    miss, in MCC a class of its own. Constant predictions give 0 in F1 of label 0, MCC and the
    correlations, 50 in AUROC. Raises `Diverged` if a prediction is not finite.
    """
    if (predictions.shape, targets.shape) != shapes(task, len(targets)):
        raise ValueError(f"predictions {predictions.shape} and targets {targets.shape} differ")
    if not np.isfinite(predictions).all():
        raise Diverged(f"{task.name}: the trained model predicts values that are not finite")
    once_1N = np.ones((1, len(targets)))
    p_1N, t_N = predictions[None].astype(float), targets.astype(float)
    return {name: 100 * float(weighted(name, p_1N, t_N, once_1N)[0, 0]) for name in task.metrics}


def shapes(task: TaskEntry, examples: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of predictions and targets of a task with so many examples."""
    one = (examples,)
    if isinstance(task.output, Regression):
        return one, one
    labels = len(task.output.labels)
    if not isinstance(task.output, Classification):
        return (examples, labels), (examples, labels)
    return ((examples, labels if labels > 2 else 1) if ordered(task.metrics) else one), one


def score(metrics: Mapping[str, float]) -> float:
    """A task's score: the mean of its metrics."""
    return sum(metrics.values()) / len(metrics)


def contribution(track: TrackEntry, task: str, accuracy: Array | float) -> Array | float:
    """The contribution of a task with this score (per cent) to the track's score; any shape.

    `mean`: a T-th of it. `decathlon`: 1000 ((E_max - E)+ / E_max)^2 points with E the error and
    E_max twice the baseline's (Rebuffi et al., "Learning multiple visual domains with residual
    adapters", 2017, section 4): 250 points at the baseline's error, 1000 without error.
    """
    if track.score == "mean":
        return accuracy / len(track.tasks)
    allowed = 2 * track.baseline_errors[task]
    return 1000 * (np.maximum(allowed - (1 - accuracy / 100), 0) / allowed) ** 2
