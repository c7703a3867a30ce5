"""What a model answers, and how well, while it trains and afterwards."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from suite.data.batching import Batches
from suite.data.encode import Examples
from suite.engine.arithmetic import arithmetic
from suite.engine.training_data import TaskBatches
from suite.method.model import AdaptedModel
from suite.registry.metrics import ordered
from suite.registry.schema import TaskEntry
from suite.results.records import Answer, TaskScore
from suite.results.scores import evaluate, score

EVALUATION_BATCH = 256
DIGITS = 4
"""Decimals of the numbers and log-odds that a result keeps."""


def predictions(model: AdaptedModel, batches: Batches) -> np.ndarray:
    """Predictions of every example [N], in the order of the examples. The model is not shown the
    answers."""
    model.eval()
    rows: list[np.ndarray] = []
    outputs: list[Tensor] = []
    with arithmetic(model, batches.device):
        for index, batch in batches.evaluation(EVALUATION_BATCH):
            rows.append(index)
            outputs.append(model.predict(batch.unanswered()).cpu())
    order = np.concatenate(rows)
    values = torch.cat(outputs).numpy()
    result = np.empty_like(values)
    result[order] = values
    return result


def validate(model: AdaptedModel, data: Mapping[str, TaskBatches]) -> dict[str, float]:
    """The score of every task on its validation split."""
    scores = {}
    for task, own in data.items():
        # On the host and by the metrics that score the test split: what is selected is what counts.
        predicted = predictions(model, own.validation)
        targets = own.validation.examples.targets.cpu().numpy()
        scores[task] = score(evaluate(model.tasks[task], predicted, targets))
    return scores


def task_score(
    task: TaskEntry, predicted: np.ndarray, test: Examples, on_validation: float, note: str
) -> TaskScore:
    """The score of predictions on the test examples, as a result keeps it."""
    targets = test.targets.cpu().numpy()
    if ordered(task.metrics):
        # Rounding makes ties: the score must be that of what is kept.
        predicted = predicted.astype(float).round(DIGITS)
    metrics = evaluate(task, predicted, targets)
    return TaskScore(
        task=task.name,
        metrics={name: round(value, 4) for name, value in metrics.items()},
        score=round(score(metrics), 4),
        validation_score=round(on_validation, 4),
        # Kept for every example, so that intervals and paired tests need no model.
        predictions=_plain(task, predicted),
        targets=_plain(task, targets),
        data=note,
    )


def _plain(task: TaskEntry, values: np.ndarray) -> tuple[Answer, ...]:
    """Class indices and labels as whole numbers, others with `DIGITS` decimals."""
    if values.ndim == 2:
        return tuple(tuple(_rounded(value) for value in row) for row in values.tolist())
    if task.output.type == "classification":
        return tuple(int(value) for value in values)
    return tuple(_rounded(float(value)) for value in values)


def _rounded(value: float) -> float:
    return round(value, DIGITS)
