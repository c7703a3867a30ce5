"""Knowledge distillation for multi-task learning: one network learns from one teacher per task.

Li and Bilen, "Knowledge Distillation for Multi-task Learning", ECCV Workshops 2020,
https://arxiv.org/abs/2007.06889.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

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
    Validate,
    adapted,
    context_of,
)
from suite.nn.distillation import LastOutput, adaptors, feature_distance
from suite.nn.task_vectors import State


@dataclass(frozen=True)
class KDMultiTask(Method):
    """loss + lambda |norm(A_t f(x)) - norm(f_t(x))|^2, f_t a network fine-tuned on task t alone."""

    teacher_share: float
    distillation: float
    adaptor_learning_rate: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network; the adaptors A_t only serve training and are not stored."""
        backbone.network.requires_grad_(True)
        context = context_of(tasks)
        model = adapted(backbone, tasks, context)
        model.adaptors = adaptors(context, backbone.width)
        model.features = LastOutput()
        source = backbone.network.decoder if backbone.family == "t5" else backbone
        source.register_forward_hook(model.features)
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """A teacher for each task, then from the first state again the student of them all."""
        start = State(model)
        teachers: dict[str, AdaptedModel] = {}
        trained = ParameterSet(p for p in model.parameters() if p.requires_grad)
        taught = trained - ParameterSet(model.adaptors.parameters())
        tasks = tuple(model.tasks)

        def teacher_phase(task: str) -> Phase:
            def keep(validate: Validate) -> None:
                teachers[task] = copy.deepcopy(model).eval().requires_grad_(False)
                start.restore()

            return Phase((task,), self.teacher_share / len(tasks), taught, finish=keep)

        def distil(batch: Batch) -> Tensor:
            student = model.adaptors(model.features.value)
            teacher = teachers[batch.task]
            with torch.no_grad():
                teacher.loss(batch)
            return self.distillation * feature_distance(student, teacher.features.value)

        student_phase = Phase(tasks, 1 - self.teacher_share, penalty=distil)
        return (*(teacher_phase(task) for task in tasks), student_phase)

    def parameter_groups(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> tuple[ParameterGroup, ...]:
        """Adaptors have a learning rate of their own."""
        own = parameters & ParameterSet(model.adaptors.parameters())
        return (
            *super().parameter_groups(model, parameters - own, recipe),
            ParameterGroup(own, self.adaptor_learning_rate, weight_decay=0.0),
        )

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """Everything but the adaptors."""
        return [name for name in names if not name.startswith("adaptors.")]
