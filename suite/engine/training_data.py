"""The batches of a stretch of training, from the splits of its tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from suite.data.batching import (
    Batch,
    Batches,
    FeatureBatches,
    MixedBatch,
    mixed_batches,
    task_chances,
)
from suite.data.transfer import ahead
from suite.engine.arithmetic import arithmetic
from suite.engine.seeding import seed_for
from suite.method import ParameterSet, Phase
from suite.method.model import AdaptedModel, HeadedModel
from suite.registry.schema import Recipe

FEATURE_BYTES = 2**30
"""Most memory that the features of a frozen backbone may take."""


@dataclass(frozen=True)
class TaskBatches:
    """What training may see of a task: its training and validation splits."""

    train: Batches
    validation: Batches


def trains_heads_alone(
    model: AdaptedModel, phase: Phase, parameters: ParameterSet, recipe: Recipe
) -> bool:
    """Whether the heads read the same features of an example at every step of the phase.

    `Backbone.train` keeps a backbone of which nothing trains in evaluation mode, so that its
    features do not depend on dropout.
    """
    if type(model) is not HeadedModel or model.backbone.training:
        return False
    augmented = any(recipe.augmentation_of(task) != "none" for task in phase.tasks)
    if augmented or phase.penalty is not None:
        return False
    return parameters <= ParameterSet(model.heads.parameters())


def on_features(model: AdaptedModel, data: Mapping[str, TaskBatches]) -> Mapping[str, TaskBatches]:
    """Data whose inputs are the backbone's features; the data as they are if the features would
    take more than `FEATURE_BYTES`."""
    width = model.backbone.width
    examples = sum(len(own.train.examples) + len(own.validation.examples) for own in data.values())
    if 4 * examples * width > FEATURE_BYTES:
        return data

    @torch.no_grad()
    def compute(batch: Batch) -> Tensor:
        model.context.activate(batch.task)
        with arithmetic(model, batch.targets.device):
            return model.backbone(batch.inputs)

    return {
        task: TaskBatches(
            *(FeatureBatches(part, width, compute) for part in (own.train, own.validation))
        )
        for task, own in data.items()
    }


def stream(
    data: Mapping[str, TaskBatches], recipe: Recipe, seed: int
) -> Iterator[Batch | MixedBatch]:
    """Endless batches; the task of each, or with mixed batches that of each row, is drawn."""
    # Sorted: the order in which tasks were typed must not change which are drawn.
    tasks = sorted(data)
    training = {task: data[task].train for task in tasks}
    drawn = _drawn(training, recipe, seed)
    waiting = [own.device for own in training.values() if not own.resident]
    return ahead(drawn, waiting[0]) if waiting else drawn


def _drawn(
    training: Mapping[str, Batches], recipe: Recipe, seed: int
) -> Iterator[Batch | MixedBatch]:
    tasks = list(training)
    sizes = [len(own.examples) for own in training.values()]
    chances = task_chances(sizes, recipe.temperature)
    if recipe.mixed_batches and len(tasks) > 1:
        return mixed_batches(training, chances, recipe, seed_for(seed, "tasks"))
    streams = {
        task: own.training(recipe, seed_for(seed, "order", task)) for task, own in training.items()
    }
    return _in_turn([streams[task] for task in tasks], chances, seed_for(seed, "tasks"))


def _in_turn(
    streams: Sequence[Iterator[Batch]], chances: Sequence[float], seed: int
) -> Iterator[Batch]:
    """Endless batches, each the next one of a stream drawn with its chance."""
    rng = np.random.Generator(np.random.PCG64(seed))
    while True:
        yield next(streams[rng.choice(len(streams), p=chances)])
