"""A saved delta as a model that answers new inputs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from suite.backbones.base import Backbone
from suite.backbones.load import load_backbone
from suite.data.batching import Batches
from suite.data.encode import encode_questions
from suite.data.questions import Question, columns_of
from suite.engine.arithmetic import arithmetic
from suite.engine.content import Origin
from suite.engine.delta import load_delta, read_header
from suite.engine.scoring import EVALUATION_BATCH, predictions
from suite.engine.seeding import seed_for
from suite.engine.workspace import adapt_model
from suite.errors import UserError
from suite.method.load import load_method
from suite.method.model import AdaptedModel, HeadedModel
from suite.planning.locate import Model, locate_model
from suite.registry import Registry
from suite.registry.metrics import UNPARSED, decided
from suite.registry.names import did_you_mean
from suite.registry.schema import BackboneEntry, MultiLabel, Regression, TaskEntry

E = TypeVar("E")
Answer = str | float | list[str] | None
"""A label's name, the names of several, or a number; None if a text-to-text network wrote none."""


class Predictor:
    """A backbone with one delta loaded into it.

    `tasks` are the tasks it serves, by name; `model` is the network itself, in evaluation mode, and
    `backbone` what it was before it was adapted.
    """

    def __init__(
        self,
        model: AdaptedModel,
        backbone: Backbone,
        origin: Origin,
        tasks: Mapping[str, TaskEntry],
        device: torch.device,
    ) -> None:
        self.model = model
        self.origin = origin
        self.tasks = tasks
        self.device = device
        self.backbone = backbone

    def __repr__(self) -> str:
        cell = self.origin.cell
        return f"{cell.method} on {cell.backbone} for {', '.join(self.tasks)}"

    def predict(self, inputs: Iterable[Question], task: str | None = None) -> list[Answer]:
        """The answer to every input, in order: names of labels, or numbers.

        `inputs` are texts, pairs of texts, or images: PIL images, uint8 arrays [H, W, 3] or files.
        `task` is needed if the delta serves several. Raises `UserError` for an unknown task
        and for an input that the task does not take.
        """
        output = self._task(task).output
        raw = self.predict_raw(inputs, task)
        if isinstance(output, Regression):
            return [None if value < output.minimum else value for value in raw]
        if isinstance(output, MultiLabel):
            return [[output.labels[number] for number in np.flatnonzero(row)] for row in raw]
        return [None if value == UNPARSED else output.labels[value] for value in raw]

    def predict_raw(self, inputs: Iterable[Question], task: str | None = None) -> list[Any]:
        """The answers as numbers: label indices, -1 for no valid answer; lists of 0 or 1 for each
        label of several; or the numbers themselves."""
        entry = self._task(task)
        answers = predictions(self.model, self._batches(entry, inputs))
        if isinstance(entry.output, Regression):
            return answers.astype(float).tolist()
        several = isinstance(entry.output, MultiLabel)
        return decided(answers[None], several=several)[0].astype(int).tolist()

    def predict_proba(self, inputs: Iterable[Question], task: str | None = None) -> np.ndarray:
        """Probabilities [N, labels], in the order of the task's labels: of classes they add up to
        1, of several labels each stands for itself.

        Raises `UserError` where there are none: for a task whose answers are numbers, and for a
        text-to-text network, which writes its answers.
        """
        entry, model = self._task(task), self.model
        if isinstance(entry.output, Regression) or not isinstance(model, HeadedModel):
            what = "numbers" if isinstance(entry.output, Regression) else "texts that it writes"
            raise UserError(
                f"{self}: its answers for {entry.name} are {what}, without probabilities"
            )
        several = isinstance(entry.output, MultiLabel)
        model.context.activate(entry.name)
        model.eval()
        order, rows = [], []
        with torch.no_grad(), arithmetic(model, self.device):
            for index, batch in self._batches(entry, inputs).evaluation(EVALUATION_BATCH):
                logits = model(batch.inputs).float()
                order.append(index)
                rows.append((logits.sigmoid() if several else logits.softmax(-1)).cpu().numpy())
        found: np.ndarray = np.concatenate(rows)[np.argsort(np.concatenate(order))]
        return found

    def _batches(self, entry: TaskEntry, inputs: Iterable[Question]) -> Batches:
        columns = columns_of(entry, inputs, self.backbone.entry.image_size)
        examples = encode_questions(entry, columns, self.backbone, self.origin.max_length)
        return Batches(entry.name, examples.to(self.device), self.backbone.entry)

    def _task(self, name: str | None) -> TaskEntry:
        served = ", ".join(self.tasks)
        if name is None:
            if len(self.tasks) > 1:
                raise UserError(f"say for which task: the delta serves {served}")
            return next(iter(self.tasks.values()))
        if name not in self.tasks:
            near = did_you_mean(str(name), self.tasks)
            raise UserError(f"unknown task '{name}'{near}; the delta serves {served}")
        return self.tasks[name]


def load_predictor(path: Path, registry: Registry, device: str) -> Predictor:
    """The model of a delta file, or of the folder it lies in, on `device` (`cpu`, `cuda:0`).

    Raises `UserError` if the file is not the delta of a cell, or if its method, backbone or tasks
    are not in the registry or have changed since.
    """
    file = path / "delta.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: there is no such file")
    try:
        origin = read_header(file).origin
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None
    if origin is None:
        raise UserError(f"{file}: does not say what it was trained as")
    cell = origin.cell
    entry = _known(file, "method", cell.method, registry.methods)
    backbone_entry = _known(file, "backbone", cell.backbone, registry.backbones)
    entries = [_known(file, "task", f"{cell.track}/{task}", registry.tasks) for task in cell.tasks]
    _require_same_weights(file, backbone_entry, origin)
    method = load_method(entry, origin.options)
    where = torch.device(device)
    backbone = load_backbone(backbone_entry).to(where)
    if backbone_entry.modality == "image":
        # As in training (`cell.Workspace`): in another layout convolutions round differently.
        backbone = backbone.to(memory_format=torch.channels_last)
    model = adapt_model(method, backbone, entries, seed_for(cell.seed, "restore"), where)
    model.precision = origin.precision
    try:
        load_delta(file, model, method)
    except (ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{file}: does not fit method '{cell.method}' as it is now ({error})"
        ) from error
    asked = {task.name: task.prefixed() if entry.task_prefix else task for task in entries}
    return Predictor(model, backbone, origin, asked, where)


def _known(file: Path, kind: str, name: str, entries: Mapping[str, E]) -> E:
    if name not in entries:
        hint = "; pass the class as method=" if kind == "method" else ""
        raise UserError(f"{file}: the registry has no {kind} '{name}'{hint}")
    return entries[name]


def _require_same_weights(file: Path, entry: BackboneEntry, origin: Origin) -> None:
    found = locate_model(entry)
    if not isinstance(found, Model):
        raise UserError(str(found))
    if found.fingerprint != origin.weights:
        raise UserError(f"{file}: was trained on other weights of {entry.name} than are here now")
