"""How methods that merge proceed: one training for each task from the first state, then a merge."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from torch import Tensor, nn

from suite.backbones.base import Backbone
from suite.backbones.parameters import ParameterSet
from suite.backbones.per_task import parameters_of
from suite.method.interface import Phase, Validate
from suite.method.model import AdaptedModel, adapted, context_of
from suite.nn.in_parts import in_parts
from suite.nn.masked_changes import MaskedChanges
from suite.nn.merging import FineTunings
from suite.registry.schema import TaskEntry


def fine_tunings(model: AdaptedModel) -> FineTunings:
    """The whole network, before its first training."""
    network = model.backbone.network
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return FineTunings(network.parameters(), statistics)


class OwnScores:
    """What each task's own network scores on validation: the measure of a merged network's scores,
    whose plain mean would favour the tasks on which scores differ most."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    def note(self, task: str, validate: Validate) -> None:
        """Remember the score of the network that has just been trained for a task."""
        self.of[task] = validate(task)[task]

    def mean(self, scores: Mapping[str, float]) -> float:
        """The mean over the tasks of the score over that of the task's own network; where that one
        has learned nothing, a score of 0 or less, the score itself counts."""
        own = {task: score if score > 0 else 1.0 for task, score in self.of.items()}
        return float(np.mean([scores[task] / own[task] for task in own]))


def merging_phases(
    model: AdaptedModel,
    tuned: FineTunings,
    merge: Callable[[Validate], None],
    head_share: float = 0.0,
    own_scores: OwnScores | None = None,
) -> tuple[Phase, ...]:
    """A training for each task, of its own parameters and those of `tuned`, which then go back to
    their first state; after the last `merge`. With `head_share`, each head trains again on the
    merged network for that share of the steps, where there are heads. `own_scores` are noted before
    a network goes back."""
    tasks = tuple(model.tasks)
    own = {task: parameters_of(model, task) for task in tasks}
    share = head_share if all(own.values()) else 0.0

    def finish(task: str, validate: Validate) -> None:
        if own_scores is not None:
            own_scores.note(task, validate)
        tuned.collect()
        if task == tasks[-1]:
            merge(validate)

    trainings = (
        Phase(
            (task,),
            (1 - share) / len(tasks),
            ParameterSet(tuned.parameters) | own[task],
            finish=partial(finish, task),
            apart=True,
        )
        for task in tasks
    )
    heads = (Phase((task,), share / len(tasks), own[task]) for task in tasks if share)
    return (*trainings, *heads)


def best_scale(
    tuned: FineTunings,
    change: Tensor,
    scales: Iterable[float],
    validate: Validate,
    own_scores: OwnScores,
) -> float:
    """The factor of `change` [P] with the best validation scores, measured by those of the tasks'
    own networks; leaves the network merged with it."""
    scores = {}
    for scale in scales:
        tuned.merge(scale * change)
        scores[float(scale)] = own_scores.mean(validate())
    best = max(scores, key=scores.__getitem__)
    tuned.merge(best * change)
    return best


def masked_model(backbone: Backbone, tasks: Sequence[TaskEntry], scaled: bool) -> AdaptedModel:
    """A network to be trained and merged, with a mask of the merged change for every task (see
    `masked_changes`). Batch norms, if there are any, are the task's own: the mean of their running
    statistics would suit no task."""
    context = context_of(tasks)
    backbone = in_parts(backbone, context)
    backbone.network.requires_grad_(True)
    norms = backbone.of_kind("norm")
    batch_norms = [s for s in norms if isinstance(backbone.module(s), nn.BatchNorm2d)]
    backbone.specialise(batch_norms, context)
    model = adapted(backbone, tasks, context)
    model.parts["changes"] = MaskedChanges(backbone.network, context, scaled)
    return model


def masked_changes(model: AdaptedModel) -> MaskedChanges:
    """The masks of a `masked_model`."""
    changes = model.parts["changes"]
    assert isinstance(changes, MaskedChanges)
    return changes


def own_norms(model: AdaptedModel) -> int:
    """Parameters of the norms that a `masked_model` does not merge, of one task."""
    return sum(p.numel() for p in parameters_of(model.backbone, next(iter(model.tasks))))
