"""What a model answers, and how well, while it trains and afterwards."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from suite.data.batching import Batches
from suite.engine.arithmetic import arithmetic
from suite.engine.training_data import TaskBatches
from suite.method.model import AdaptedModel
from suite.results.scores import evaluate, score

EVALUATION_BATCH = 256


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
