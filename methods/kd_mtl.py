"""Knowledge distillation for multi-task learning: one network learns from one teacher per task.

Li and Bilen, "Knowledge Distillation for Multi-task Learning", ECCV Workshops 2020,
https://arxiv.org/abs/2007.06889.
"""

import copy
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
    Validate,
    adapted,
    context_of,
    parameters_of,
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
        model.parts["adaptors"] = adaptors(context, backbone.width)
        return model

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """A teacher for each task, then from the first state again the student of them all."""
        trained = ParameterSet(p for p in model.parameters() if p.requires_grad)
        taught = trained - ParameterSet(model.parts["adaptors"].parameters())
        tasks = tuple(model.tasks)
        own = {task: parameters_of(model, task) for task in tasks}
        heads = ParameterSet(p for parameters in own.values() for p in parameters)
        share = self.teacher_share / len(tasks)
        teachers = Teachers(model)

        def distil(batch: Batch) -> Tensor:
            return self.distillation * teachers.distance(batch)

        return (
            *(
                Phase(
                    (task,),
                    share,
                    (taught - heads) | (taught & own[task]),
                    finish=partial(teachers.keep, task),
                    apart=True,
                )
                for task in tasks
            ),
            Phase(tasks, 1 - self.teacher_share, penalty=distil),
        )

    def parameter_groups(
        self, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
    ) -> tuple[ParameterGroup, ...]:
        """Adaptors have a learning rate of their own."""
        own = parameters & ParameterSet(model.parts["adaptors"].parameters())
        return (
            *super().parameter_groups(model, parameters - own, recipe),
            ParameterGroup(own, self.adaptor_learning_rate, weight_decay=0.0),
        )

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """Everything but the adaptors."""
        return [name for name in names if not name.startswith("parts.adaptors.")]


class Teachers:
    """Networks fine-tuned on one task each, and how far a student's features are from theirs."""

    def __init__(self, student: AdaptedModel) -> None:
        self.student = student
        self.features = last_features(student)
        self.first = State(student)
        self.of_task: dict[str, tuple[AdaptedModel, LastOutput]] = {}

    def keep(self, task: str, validate: Validate) -> None:
        """A copy of the student as it is becomes the task's teacher; the student starts anew."""
        teacher = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.of_task[task] = (teacher, last_features(teacher))
        self.first.restore()

    def distance(self, batch: Batch) -> Tensor:
        """|norm(A_t f(x)) - norm(f_t(x))|^2 of a batch that the student has just seen, a scalar."""
        teacher, features = self.of_task[batch.task]
        with torch.no_grad():
            teacher.loss(batch)
        own = self.student.parts["adaptors"](self.features.read())
        return feature_distance(own, features.read())


def last_features(model: AdaptedModel) -> LastOutput:
    """What the heads, or a writing network's output layer, read in the model's last pass."""
    return LastOutput.of(model.backbone.featurizer)
