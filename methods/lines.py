"""LiNeS: fine-tuned networks are merged into one, the more of their changes the deeper the layer.

Wang et al., "LiNeS: Post-training Layer Scaling Prevents Forgetting and Enhances Model Merging",
ICLR 2025, https://arxiv.org/abs/2410.17146.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    ParameterSet,
    Phase,
    TaskEntry,
    Validate,
    adapted,
    context_of,
    parameters_of,
)
from suite.method.merging import OwnScores
from suite.nn.task_vectors import TaskVectors


@dataclass(frozen=True)
class LiNeS(Method):
    """W = W0 + (alpha + beta l / (L - 1)) sum_t (W_t - W0) in block l of L, with alpha = 1 / T."""

    candidates: int
    head_share: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; nothing is added to it."""
        backbone.network.requires_grad_(True)
        model = adapted(backbone, tasks, context_of(tasks))
        model.measured["beta"] = 0.0
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task from the first state; the merge; each head again on the merged network."""
        merging = Merging(model, self.candidates)
        network = ParameterSet(model.backbone.network.parameters())
        heads = {task: parameters_of(model, task) for task in model.tasks}
        tasks, count = list(heads), len(heads)
        # An output matrix inside the network is merged like the rest of it.
        share = self.head_share if all(heads.values()) else 0.0
        phases = [
            Phase(
                (task,),
                (1 - share) / count,
                network | heads[task],
                finish=partial(merging.merge if task == tasks[-1] else merging.collect, task),
                apart=True,
            )
            for task in tasks
        ]
        if share:
            phases += [Phase((task,), share / count, heads[task]) for task in tasks]
        return tuple(phases)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """By how much the last block's factor exceeds the first's."""
        return {"beta": model.measured["beta"]}


class Merging:
    """The changes of all tasks, gathered as their trainings end, and the merge that follows."""

    def __init__(self, model: AdaptedModel, candidates: int) -> None:
        self.model = model
        self.betas = np.linspace(0, 1, candidates + 1)[1:]
        self.vectors = TaskVectors(model.backbone.network)
        self.own = OwnScores()

    def collect(self, task: str, validate: Validate) -> None:
        """Keep what a task has changed, and how well its network does; the next one starts from the
        first state."""
        self.own.note(task, validate)
        self.vectors.collect()
        self.vectors.restore()

    def merge(self, task: str, validate: Validate) -> None:
        """The same for the last task, and merge with the beta that validates best."""
        self.collect(task, validate)
        scores = {}
        for beta in self.betas:
            self._scale(beta)
            scores[float(beta)] = self.own.mean(validate())
        best = max(scores, key=scores.__getitem__)
        self._scale(best)
        self.model.measured["beta"] = best

    def _scale(self, beta: float) -> None:
        backbone, tasks = self.model.backbone, len(self.model.tasks)
        self.vectors.merge(_factors(backbone, self.vectors, tasks, beta))


def _factors(backbone: Backbone, vectors: TaskVectors, tasks: int, beta: float) -> dict[str, float]:
    """What every tensor's changes are multiplied by: alpha outside the blocks, and for running
    statistics, whose mean over the tasks is taken."""
    factors = dict.fromkeys(vectors.total, 1 / tasks)
    for name, _ in backbone.network.named_parameters():
        depth = max(backbone.depth_of(name), 0)
        factors[name] += beta * depth / max(backbone.blocks - 1, 1)
    return factors
