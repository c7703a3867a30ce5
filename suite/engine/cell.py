"""Train, save, reload and score one cell."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from suite.backbones.base import Backbone
from suite.backbones.load import load_backbone
from suite.data.batching import Batches
from suite.data.encode import EncodedTask, Examples, encode_task
from suite.data.sources import departure
from suite.engine import environment, peak_memory
from suite.engine.delta import Origin, changed_tensors, delta_digest, load_delta, save_delta
from suite.engine.ledger import closed_form, count, disagreement
from suite.engine.loop import Progress, TaskBatches, Training, autocast, predictions, train
from suite.engine.seeding import seed_for
from suite.method import Method
from suite.method.load import load_method
from suite.method.model import AdaptedModel
from suite.planning.cells import Cell
from suite.planning.locate import Model, locate_model
from suite.registry import Registry
from suite.registry.schema import MethodEntry, TaskEntry
from suite.results.records import Ledger, Result, TaskScore
from suite.results.scores import evaluate, score

RESTORE_BATCH = 64


class CellError(Exception):
    """A method breaks its contract: it leaks, undercounts or cannot be restored."""


@dataclass
class Workspace:
    """What the cells of one process share: loaded backbones and encoded tasks."""

    registry: Registry
    device: torch.device
    threads: int
    backbones: dict[str, Backbone] = field(default_factory=dict)
    encoded: dict[tuple[str, str, int, str], EncodedTask] = field(default_factory=dict)

    def backbone(self, name: str) -> Backbone:
        """The pristine backbone; cells work on copies of it."""
        if name not in self.backbones:
            loaded = load_backbone(self.registry.backbones[name]).to(self.device)
            if loaded.entry.modality == "image":
                # oneDNN and cuDNN compute convolutions in this layout; kept in the other one,
                # every layer would convert its input and output.
                loaded = loaded.to(memory_format=torch.channels_last)
            self.backbones[name] = loaded
        return self.backbones[name]

    def task(self, cell: Cell, entry: TaskEntry) -> EncodedTask:
        """A task's examples for the cell's backbone, on the device."""
        # Of the examples and of the code that encodes them: a change of either gives other tensors.
        digest = f"{cell.identity.tasks[entry.name]}.{cell.identity.parts['data']}"
        if self.registry.methods[cell.key.method].task_prefix:
            entry = entry.prefixed()
        template = entry.text.template if entry.text else ""
        # The methods and seeds of a worker's cells share these tensors.
        key = (digest, cell.key.backbone, cell.recipe.max_length, template)
        if key not in self.encoded:
            backbone = self.backbone(cell.key.backbone)
            encoded = encode_task(entry, cell.key.scale, backbone, cell.recipe.max_length, digest)
            splits = (encoded.train, encoded.validation, encoded.test)
            on_device = (split.to(self.device) for split in splits)
            self.encoded[key] = EncodedTask(entry, *on_device, encoded.note)
        return self.encoded[key]


class SealedTest:
    """Test examples that can be opened once, after selection.

    Whatever is chosen by looking at test scores (a step, a rate) makes the reported one too high.
    Training gets no reference to the test split, and a second opening is an error of the program.
    """

    def __init__(self, examples: Examples) -> None:
        self._examples: Examples | None = examples

    def open(self) -> Examples:
        """Hand the examples out; raises RuntimeError the second time."""
        if self._examples is None:
            raise RuntimeError("the test split has been opened before")
        examples, self._examples = self._examples, None
        return examples


def run_cell(cell: Cell, workspace: Workspace, folder: Path, progress: Progress) -> Result:
    """All steps of a cell, in order: adapt, train, save, restore from the file, score, count.

    Writes `delta.safetensors` to `folder`. Raises Unsupported, Diverged, CellError or any error of
    the method; the caller turns it into a visible row.
    """
    started = time.perf_counter()
    peak_memory.reset_peak(workspace.device)
    registry, key = workspace.registry, cell.key
    entry = registry.methods[key.method]
    method = load_method(entry, cell.options)
    pristine = workspace.backbone(key.backbone)
    tasks = [registry.tasks[f"{key.track}/{task}"] for task in key.tasks]
    encoded = {task.name: workspace.task(cell, task) for task in tasks}
    sealed = {name: SealedTest(task.test) for name, task in encoded.items()}

    def batches(name: str, examples: Examples) -> Batches:
        return Batches(name, examples, pristine.entry)

    data = {
        name: TaskBatches(batches(name, task.train), batches(name, task.validation))
        for name, task in encoded.items()
    }

    model = adapt_model(method, pristine, tasks, seed_for(key.seed, "adapt"), workspace.device)
    trained = train(model, method, data, cell.recipe, seed_for(key.seed, "train"), progress)
    facts = method.facts(model)
    _check_backbone(model, pristine, method)

    delta = folder / "delta.safetensors"
    save_delta(delta, model, method, entry.regime, _origin(cell, pristine))
    ledger = _checked(count(delta), entry, pristine, cell, facts)

    # With another seed: a random tensor that is needed but not saved then differs, and shows.
    restored = adapt_model(method, pristine, tasks, seed_for(key.seed, "restore"), workspace.device)
    load_delta(delta, restored, method)
    # On validation data: a model that cannot be restored must not open the test split.
    for own in data.values():
        _check_restored(model, restored, own.validation)

    scores = []
    for task in tasks:
        test = sealed[task.name].open()
        predicted = predictions(restored, batches(task.name, test))
        sizes = [
            len(split) for split in (encoded[task.name].train, encoded[task.name].validation, test)
        ]
        notes = (departure(task, key.scale, *sizes), encoded[task.name].note)
        note = "; ".join(filter(None, notes))
        scores.append(_task_score(task, predicted, test, trained, note))

    return Result(
        cell=key,
        identity=cell.identity,
        status="ok",
        scores=tuple(scores),
        delta=delta_digest(delta),
        ledger=ledger,
        backbone_parameters=pristine.parameter_count(),
        trained_parameters=trained.trained_parameters,
        facts=facts,
        recipe=cell.recipe,
        options=dict(cell.options),
        steps=trained.steps,
        train_seconds=round(trained.seconds, 3),
        total_seconds=round(time.perf_counter() - started, 3),
        peak_memory_bytes=peak_memory.peak_bytes(workspace.device),
        environment=environment.describe(str(workspace.device), workspace.threads),
    )


def adapt_model(
    method: Method,
    pristine: Backbone,
    tasks: Sequence[TaskEntry],
    seed: int,
    device: torch.device,
) -> AdaptedModel:
    """A method's model on a fresh copy of the backbone, in evaluation mode on `device`.

    The method is not told where the tasks' examples are, so that it cannot read the test split.
    """
    torch.manual_seed(seed)
    described = [task.without_sources() for task in tasks]
    return method.adapt(pristine.fresh(), described).to(device).eval()


def _check_backbone(model: AdaptedModel, pristine: Backbone, method: Method) -> None:
    leaked = changed_tensors(model, pristine, method)
    if leaked:
        raise CellError(
            f"training changed {len(leaked)} tensors of the backbone that are not stored, "
            f"first {leaked[0]}: the backbone must stay as it was"
        )


def _origin(cell: Cell, pristine: Backbone) -> Origin:
    found = locate_model(pristine.entry)
    assert isinstance(found, Model), "it has been loaded"
    return Origin(
        cell=cell.key,
        options=dict(cell.options),
        max_length=cell.recipe.max_length,
        weights=found.fingerprint,
    )


def _checked(
    ledger: Ledger, entry: MethodEntry, pristine: Backbone, cell: Cell, facts: dict[str, float]
) -> Ledger:
    """The counted cost, checked against the closed form; marked if the method states none."""
    if not entry.cost_stated:
        return ledger.model_copy(update={"closed_form": False})
    expected = closed_form(entry.cost, pristine, len(cell.key.tasks), cell.options, facts)
    difference = disagreement(ledger, expected, entry.path.name)
    if difference:
        raise CellError(difference)
    return ledger


def _check_restored(model: AdaptedModel, restored: AdaptedModel, validation: Batches) -> None:
    _, batch = next(validation.evaluation(RESTORE_BATCH))
    with torch.no_grad(), autocast(batch.targets.device):
        before, after = float(model.loss(batch)), float(restored.loss(batch))
    # On a GPU the libraries may choose other kernels for the new object, which round differently.
    tolerance = 0.0 if batch.targets.device.type == "cpu" else 0.01
    if not math.isclose(before, after, rel_tol=tolerance):
        raise CellError(
            f"restored from its file, the model has a loss of {after:.6g} on validation examples "
            f"of {validation.task} where it had {before:.6g}: something that matters is not stored"
        )


def _task_score(
    task: TaskEntry, predicted: np.ndarray, test: Examples, trained: Training, note: str
) -> TaskScore:
    targets = test.targets.cpu().numpy()
    metrics = evaluate(task, predicted, targets)
    return TaskScore(
        task=task.name,
        metrics={name: round(value, 4) for name, value in metrics.items()},
        score=round(score(metrics), 4),
        validation_score=round(trained.validation[task.name], 4),
        # Kept for every example, so that intervals and paired tests need no model.
        predictions=_plain(task, predicted),
        targets=_plain(task, targets),
        data=note,
    )


def _plain(task: TaskEntry, values: np.ndarray) -> tuple[float | int, ...]:
    if task.output.type == "classification":
        return tuple(int(value) for value in values)
    return tuple(round(float(value), 4) for value in values)
