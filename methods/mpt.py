"""Multitask prompt tuning: one prompt for all tasks, and a rank-one matrix by which each scales it.

Wang et al., "Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning", ICLR 2023,
https://arxiv.org/abs/2303.02861.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence

from suite.method import (
    AdaptedModel,
    Backbone,
    Batch,
    Method,
    ParameterSet,
    Phase,
    TaskEntry,
    Validate,
    adapted,
    context_of,
    parameters_of,
)
from suite.nn.distillation import LastOutput
from suite.nn.prompt import MultitaskPrompt
from suite.registry.schema import MultiLabel, Regression


@dataclass(frozen=True)
class MultitaskPromptTuning(Method):
    """The encoder reads [P * (u_k v_k^T); X]; a prompt for the task alone is their teacher."""

    tokens: int
    teacher_share: float
    distillation: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Put the prompt into the sequence that enters the first block of the encoder."""
        context = context_of(tasks)
        prompt = MultitaskPrompt(context, backbone.token_vectors(self.tokens))
        backbone.insert_tokens(backbone.of_kind("tokens")[0], prompt)
        return adapted(backbone, tasks, context)

    def phases(self, model: AdaptedModel) -> tuple[Phase, ...]:
        """A teacher for each task, then the prompt of all."""
        teachers = Teachers(model)
        tasks = tuple(model.tasks)
        prompts = teachers.prompt.teachers
        taught = ParameterSet(p for p in model.parameters() if p.requires_grad)

        def distil(batch: Batch) -> Tensor:
            return self.distillation * teachers.distance(batch)

        return (
            *(
                Phase(
                    (task,),
                    self.teacher_share / len(tasks),
                    ParameterSet(prompts.by_task[task].parameters())
                    | (parameters_of(model, task) - parameters_of(model, task, head=False)),
                    prepare=teachers.begin,
                    finish=partial(teachers.keep, task),
                    apart=True,
                )
                for task in tasks
            ),
            Phase(
                tasks,
                1 - self.teacher_share,
                taught - ParameterSet(prompts.parameters()),
                penalty=distil,
            ),
        )

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """Everything but the teachers."""
        return [name for name in names if ".teachers." not in name]


class Teachers:
    """The network with a prompt for one task alone, and how far the prompt of all is from it."""

    def __init__(self, model: AdaptedModel) -> None:
        self.model = model
        found = (module for module in model.modules() if isinstance(module, MultitaskPrompt))
        self.prompt = next(found)
        self.outputs = LastOutput.of(model)
        self.features = LastOutput.of(model.backbone.featurizer)
        self.heads: dict[str, nn.Module] = {}

    def begin(self) -> None:
        """Let prompts of their own serve the tasks."""
        self.prompt.teaching = True

    def keep(self, task: str, validate: Validate) -> None:
        """The prompt and a copy of the head become the task's teacher."""
        self.prompt.teaching = False
        if self.model.heads is not None:
            self.heads[task] = copy.deepcopy(self.model.heads.by_task[task])

    def distance(self, batch: Batch) -> Tensor:
        """KL(teacher || student) of the outputs, of several labels the sum of each one's, for a
        number their squared distance, and the mean squared distance of the features, of a batch
        that the student has just seen: a scalar."""
        student, own = self.outputs.read(), self.features.read()
        with torch.no_grad():
            teacher = self._teach(batch)
        distance = F.mse_loss(own, self.features.read())
        output = self.model.tasks[batch.task].output
        if batch.target_ids is None and isinstance(output, Regression):
            return distance + F.mse_loss(student, teacher)
        if batch.target_ids is None and isinstance(output, MultiLabel):
            given = Bernoulli(logits=teacher.float())
            return distance + kl_divergence(given, Bernoulli(logits=student.float())).sum(-1).mean()
        ours, theirs = (outputs.float().log_softmax(-1) for outputs in (student, teacher))
        if batch.target_ids is None:
            return distance + F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        # By weights: to pick the tokens that answer, the host would wait for the device.
        answered = batch.target_ids >= 0
        divergence = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
        return distance + (divergence * answered).sum() / answered.sum()

    def _teach(self, batch: Batch) -> Tensor:
        """The teacher's outputs, without dropout."""
        backbone, training = self.model.backbone, self.model.backbone.training
        backbone.eval()
        self.prompt.teaching = True
        try:
            if batch.target_ids is not None:
                return backbone(batch.inputs, batch.target_ids)
            return self.heads[batch.task](backbone(batch.inputs))
        finally:
            self.prompt.teaching = False
            backbone.train(training)
