"""AdapterFusion: each task attends to the adapters that all tasks have trained.

Pfeiffer et al., "AdapterFusion: Non-Destructive Task Composition for Transfer Learning", EACL 2021,
https://arxiv.org/abs/2005.00247.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from suite.method import (
    AdaptedModel,
    Backbone,
    Batch,
    Method,
    ParameterGroup,
    ParameterSet,
    Phase,
    Recipe,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
    parameters_of,
)
from suite.nn.adapter import bottleneck_width
from suite.nn.fusion import FusedAdapters, Fusion


@dataclass(frozen=True)
class AdapterFusion(Method):
    """An adapter for each task, trained alone; then for each task an attention over all of them."""

    reduction: int
    adapter_share: float
    fusion_learning_rate: float
    value_penalty: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert all adapters and fusions after feed-forward sublayers; all else stays frozen."""
        sites = backbone.of_kind("feed_forward")
        if not sites:
            raise Unsupported("there are no feed-forward sublayers for adapters to follow")
        context = context_of(tasks)
        for site in sites:
            bottleneck = bottleneck_width(site.width, self.reduction)
            backbone.insert(site, FusedAdapters(context, site.width, bottleneck))
        return adapted(backbone, tasks, context)

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Each task's adapter, then each task's fusion, both with its head."""
        layers = _layers(model)
        tasks = tuple(model.tasks)
        adapters = {
            task: ParameterSet(p for layer in layers for p in layer.adapters[task].parameters())
            for task in tasks
        }
        fusions = _fusions(model)
        own = {task: parameters_of(model, task) for task in tasks}
        first, second = self.adapter_share / len(tasks), (1 - self.adapter_share) / len(tasks)

        def keep_near_identity(batch: Batch) -> Tensor:
            values = [layer.fusions.by_task[batch.task] for layer in layers]
            distances = [fusion.distance() for fusion in values if isinstance(fusion, Fusion)]
            return self.value_penalty * torch.stack(distances).sum()

        return (
            *(
                Phase(
                    (task,),
                    first,
                    adapters[task] | (own[task] - fusions),
                    prepare=partial(_set_fused, layers, False),
                )
                for task in tasks
            ),
            *(
                Phase(
                    (task,),
                    second,
                    own[task],
                    prepare=partial(_set_fused, layers, True),
                    penalty=keep_near_identity,
                )
                for task in tasks
            ),
        )

    def parameter_groups(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> tuple[ParameterGroup, ...]:
        """Fusions have a learning rate of their own."""
        fusions = _fusions(model)
        return (
            *super().parameter_groups(model, parameters - fusions, recipe),
            ParameterGroup(parameters & fusions, self.fusion_learning_rate, recipe.weight_decay),
        )


def _layers(model: AdaptedModel) -> list[FusedAdapters]:
    return [module for module in model.modules() if isinstance(module, FusedAdapters)]


def _fusions(model: AdaptedModel) -> ParameterSet:
    return ParameterSet(p for layer in _layers(model) for p in layer.fusions.parameters())


def _set_fused(layers: Sequence[FusedAdapters], fused: bool) -> None:
    for layer in layers:
        layer.fused = fused
