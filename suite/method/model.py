"""A backbone adapted to its task or tasks: what a method builds and the engine trains."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.base import Backbone, TextToTextBackbone
from suite.backbones.per_task import PerTask, TaskContext
from suite.backbones.writers import PADDING
from suite.data.batching import FEATURES, Batch, MixedBatch
from suite.registry.metrics import ordered
from suite.registry.schema import Classification, MultiLabel, Precision, Regression, TaskEntry


class AdaptedModel(nn.Module, ABC):
    """Base of the two forms below; `context` is shared by every layer that switches by task."""

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[TaskEntry],
        context: TaskContext,
        heads: PerTask | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tasks = {task.name: task for task in tasks}
        self.context = context
        self.heads = heads
        self.parts = nn.ModuleDict()
        """Modules of the method that belong to no single layer of the backbone, by name."""
        self.precision: Precision = "auto"
        """Of the arithmetic in which the engine trains and scores it."""
        self.measured: dict[str, float] = {}
        """Numbers that training found, for `Method.facts`; not stored."""

    @abstractmethod
    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """Mean training loss of one batch, a scalar."""

    @abstractmethod
    def mixed_loss(self, batch: MixedBatch, label_smoothing: float = 0.0) -> Tensor:
        """Mean training loss over the rows of several tasks, a scalar, from one pass."""

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Answers in the form that `suite.registry.metrics` describes: class indices or numbers
        [B], -1 for an answer that is none of these; of several labels 0 or 1 for each [B, L]; where
        a metric of the task orders examples, log-odds [B, S]."""


class _Rows:
    """The rows of a mixed batch, sorted by task as `TaskContext.mixed` wants them."""

    def __init__(self, batch: MixedBatch, context: TaskContext) -> None:
        self.parts = sorted(batch, key=lambda part: context.tasks.index(part.task))
        self.sizes = [len(part.targets) for part in self.parts]
        of_task = {part.task: size for part, size in zip(self.parts, self.sizes, strict=True)}
        self.counts = [of_task.get(task, 0) for task in context.tasks]
        self.inputs = {
            name: torch.cat([part.inputs[name] for part in self.parts]) for name in batch[0].inputs
        }


class HeadedModel(AdaptedModel):
    """Features and one linear head per task (encoders and vision backbones)."""

    heads: PerTask

    def __init__(
        self, backbone: Backbone, tasks: Sequence[TaskEntry], context: TaskContext
    ) -> None:
        heads = {task.name: nn.Linear(backbone.width, output_size(task)) for task in tasks}
        super().__init__(backbone, tasks, context, PerTask(context, heads, head=True))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, labels] or numbers [B, 1] of the active task."""
        return self.heads(inputs[FEATURES] if FEATURES in inputs else self.backbone(inputs))

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy, of several labels the mean of each one's binary cross-entropy, or mean
        squared error on the range scaled to 0..1."""
        self.context.activate(batch.task)
        outputs = self(batch.inputs).float()
        task = self.tasks[batch.task]
        if isinstance(task.output, Classification):
            return F.cross_entropy(outputs, batch.targets, label_smoothing=label_smoothing)
        if isinstance(task.output, MultiLabel):
            # As cross-entropy smooths two classes: towards one half.
            smoothed = batch.targets * (1 - label_smoothing) + label_smoothing / 2
            return F.binary_cross_entropy_with_logits(outputs, smoothed)
        span = task.output.maximum - task.output.minimum
        scaled = (batch.targets - task.output.minimum) / span
        return F.mse_loss(outputs.squeeze(-1), scaled)

    def mixed_loss(self, batch: MixedBatch, label_smoothing: float = 0.0) -> Tensor:
        """The mean over all rows of the losses of their tasks."""
        rows = _Rows(batch, self.context)
        if FEATURES in rows.inputs:
            features = rows.inputs[FEATURES]
        else:
            with self.context.mixed(rows.counts):
                features = self.backbone(rows.inputs)
        losses = [
            len(own)
            * self.loss(Batch(part.task, {FEATURES: own}, part.targets, None), label_smoothing)
            for part, own in zip(rows.parts, features.split(rows.sizes), strict=True)
        ]
        return torch.stack(losses).sum() / len(features)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """The most probable class, the labels of a probability above 0.5, or the number clipped to
        the task's range; log-odds where they are asked for."""
        self.context.activate(batch.task)
        outputs = self(batch.inputs).float()
        task = self.tasks[batch.task]
        output = task.output
        if isinstance(output, Classification):
            return log_odds(outputs) if ordered(task.metrics) else outputs.argmax(-1)
        if isinstance(output, MultiLabel):
            return outputs if ordered(task.metrics) else (outputs > 0).long()
        low, high = output.minimum, output.maximum
        return (outputs.squeeze(-1) * (high - low) + low).clamp(low, high)


class TextToTextModel(AdaptedModel):
    """A decoder writes the answer, a class index or a number (HyperFormer, section 3)."""

    backbone: TextToTextBackbone

    def forward(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Logits [B, M, vocabulary] of the active task under teacher forcing."""
        return self.backbone(inputs, labels)

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """Label-smoothed cross-entropy, mean over target tokens."""
        self.context.activate(batch.task)
        labels = _target_ids(batch)
        logits = self(batch.inputs, labels).float()
        return F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), label_smoothing=label_smoothing
        )

    def mixed_loss(self, batch: MixedBatch, label_smoothing: float = 0.0) -> Tensor:
        """The mean over all target tokens, whatever their task."""
        rows = _Rows(batch, self.context)
        ids = [row for part in rows.parts for row in _target_ids(part)]
        labels = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PADDING)
        with self.context.mixed(rows.counts):
            logits = self(rows.inputs, labels).float()
        return F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), label_smoothing=label_smoothing
        )

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Generate greedily and read the answer; text that is no valid answer becomes -1."""
        self.context.activate(batch.task)
        ids = self.backbone.generate(batch.inputs, _target_ids(batch).shape[1])
        answers = self.backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)
        task = self.tasks[batch.task]
        return torch.tensor(np.array([_parse(task, answer) for answer in answers]))


def adapted(backbone: Backbone, tasks: Sequence[TaskEntry], context: TaskContext) -> AdaptedModel:
    """The backbone, as the method has changed it, with an output for every task."""
    form = TextToTextModel if isinstance(backbone, TextToTextBackbone) else HeadedModel
    return form(backbone, tasks, context)


def context_of(tasks: Iterable[TaskEntry]) -> TaskContext:
    """A task context over these tasks, the first of them active."""
    return TaskContext(task.name for task in tasks)


def output_size(task: TaskEntry) -> int:
    """Outputs of a task's head: its classes or labels, or one number."""
    return 1 if isinstance(task.output, Regression) else len(task.output.labels)


def log_odds(logits: Tensor) -> Tensor:
    """log(p / (1 - p)) of each class, from the logits [B, S] of all of them; of two classes that of
    the second alone, [B, 1]."""
    classes = logits.shape[1]
    if classes == 2:
        return logits[:, 1:] - logits[:, :1]
    own = torch.eye(classes, dtype=torch.bool, device=logits.device)
    others = logits[:, None].expand(-1, classes, -1).masked_fill(own, -torch.inf)
    return logits - others.logsumexp(-1)


def _target_ids(batch: Batch) -> Tensor:
    """The answers as tokens [B, M], which every batch for a text-to-text backbone has."""
    assert batch.target_ids is not None
    return batch.target_ids


def _parse(task: TaskEntry, answer: str) -> float:
    """The class index or number that a decoded answer states, else -1."""
    try:
        value = float(answer.strip())
    except ValueError:
        return -1.0
    if isinstance(task.output, Classification):
        return value if value in range(len(task.output.labels)) else -1.0
    assert isinstance(task.output, Regression), "planning refuses other tasks"
    return value if task.output.minimum <= value <= task.output.maximum else -1.0
