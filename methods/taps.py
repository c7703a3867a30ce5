"""TAPS: each task learns which layers to change, and stores only those.

Wallingford et al., "Task Adaptive Parameter Sharing for Multi-Task Learning", CVPR 2022,
https://arxiv.org/abs/2203.16708, with its memory-efficient joint variant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    ParameterSet,
    PerTask,
    Phase,
    Recipe,
    Stepper,
    TaskEntry,
    adapted,
    context_of,
    parameters_of,
)
from suite.nn.gated import gated, gates, open_stored, without_closed
from suite.nn.gated_training import GateTraining, gate_stepper

ADAMW_SCORE_RATE = 2e-3
"""A step of AdamW is as long as its rate, whatever the penalty: at 5e-5, a good rate for weights, a
score would need a thousand steps from its start to the threshold."""


@dataclass(frozen=True)
class Taps(Method):
    """W = W0 + 1[s >= threshold] * D in every convolution and linear layer.

    The gate score s and the change D are the task's own; the loss is the task's plus a penalty on
    mean |s|. How they train is stated in `stepper` alone.
    The joint variant spends the share `first_stage` of the steps on training W0, for all tasks.
    """

    initial_score: float
    threshold: float
    gate_penalty: float
    gate_warmup: float
    score_learning_rate: float
    lock_after: float
    first_stage: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Gate every weight matrix and kernel; norms and head are the task's own."""
        context = context_of(tasks)
        backbone.network.requires_grad_(self.first_stage > 0)
        for site in backbone.of_kind("conv", "linear", "patch_embedding"):
            layer = backbone.module(site)
            backbone.replace(site, gated(layer, context, self.initial_score, self.threshold))
        backbone.specialise(backbone.of_kind("norm"), context)
        return adapted(backbone, tasks, context)

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """Joint: all tasks together as one network; then one task at a time, the network frozen."""
        if not self.first_stage:
            return super().phases(model)
        tasks = tuple(model.tasks)
        # Gates too, although none trains at first: tied, they let a mixed batch pass as one.
        switches = [m for m in model.backbone.modules() if isinstance(m, PerTask)]
        sites = model.backbone.of_kind("norm")
        norms = [m for m in map(model.backbone.module, sites) if isinstance(m, PerTask)]
        own = ParameterSet(p for task in tasks for p in parameters_of(model, task, head=False))
        tied = ParameterSet(p for norm in norms for p in norm.by_task[tasks[0]].parameters())
        shared = ParameterSet(model.parameters()) - own | tied
        share = (1 - self.first_stage) / len(tasks)
        first, *others = (Phase((task,), share, parameters_of(model, task)) for task in tasks)
        return (
            Phase(tasks, self.first_stage, shared, prepare=partial(_tie, switches)),
            replace(first, prepare=partial(_second_stage, switches, model)),
            *others,
        )

    def stepper(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> Stepper | None:
        """Gates and changes step in an arena, which costs what training the layers would: the
        penalty and the rate of the scores are not in the loss and the optimizer, but here."""
        training = GateTraining(
            penalty=self.gate_penalty,
            warmup=self.gate_warmup,
            learning_rate=self._score_rate(recipe),
            lock_after=self.lock_after,
        )
        return gate_stepper(model, parameters, training, recipe)

    def _score_rate(self, recipe: Recipe) -> float:
        if self.score_learning_rate:
            return self.score_learning_rate
        return recipe.learning_rate if recipe.optimizer == "sgd" else ADAMW_SCORE_RATE

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """No gate scores, and no changes of closed gates."""
        return without_closed(model, names)

    def load(self, model: AdaptedModel, tensors: Mapping[str, Tensor]) -> None:
        """A layer without a stored change is closed."""
        super().load(model, tensors)
        open_stored(model, tensors)

    def facts(self, model: AdaptedModel) -> dict[str, float]:
        """How many layers and weights each task changes, and how many gates could have closed."""
        facts: dict[str, float] = {}
        for task in model.tasks:
            own = gates(model, task)
            changed = [gate.change.numel() for gate in own if gate.is_open]
            facts[f"gated_layers@{task}"] = len(own)
            facts[f"closable_layers@{task}"] = sum(gate.could_close for gate in own)
            facts[f"open_layers@{task}"] = len(changed)
            facts[f"open_weights@{task}"] = sum(changed)
        return facts


def _tie(switches: Sequence[PerTask]) -> None:
    for switch in switches:
        switch.tie()


def _second_stage(switches: Sequence[PerTask], model: AdaptedModel) -> None:
    """Each task goes on alone, with a new head as in the public code."""
    for switch in switches:
        switch.separate()
    if model.heads is not None:
        for head in model.heads.by_task.values():
            assert isinstance(head, nn.Linear)
            head.reset_parameters()
