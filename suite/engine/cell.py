"""Train, save, reload and score one cell."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from suite.backbones.base import Backbone
from suite.console import shown
from suite.data.batching import Batches
from suite.data.encode import EncodedTask, Examples
from suite.data.sources import departure
from suite.engine import environment, guards, peak_memory
from suite.engine.arithmetic import arithmetic
from suite.engine.cell_checks import (
    CellError,
    check_backbone,
    check_restored,
    counted,
    finite,
)
from suite.engine.checkpoint import Checkpoint
from suite.engine.content import Origin
from suite.engine.delta import (
    delta_digest,
    load_delta,
    make_rounding,
    rounded,
    save_delta,
    start_from,
)
from suite.engine.frozen import frozen_in_bfloat16
from suite.engine.loop import Progress, Training, train
from suite.engine.scoring import predictions, task_score, validate
from suite.engine.seeding import seed_for
from suite.engine.training_data import TaskBatches
from suite.engine.workspace import Workspace, adapt_model
from suite.method import Method
from suite.method.load import load_method
from suite.method.model import AdaptedModel
from suite.planning.cells import Cell
from suite.planning.locate import Model, locate_model
from suite.registry.schema import Store
from suite.results.records import Result

GUARD_BATCH = 4


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


@dataclass(frozen=True)
class Trained:
    """A trained model, to be stored in one precision or in several."""

    method: Method
    model: AdaptedModel
    encoded: Sequence[EncodedTask]
    data: Mapping[str, TaskBatches]
    training: Training
    facts: dict[str, float]
    seconds: float
    """Of all that came before it is stored."""
    peak_memory_bytes: int


def run_cell(cell: Cell, workspace: Workspace, folder: Path, progress: Progress) -> Result:
    """All steps of a cell, in order: adapt, train, save, restore from the file, score, count.

    Writes `delta.safetensors` to `folder`. Raises Unsupported, Diverged, CellError or any error of
    the method; the caller turns it into a visible row.
    """
    return store_cell(cell, train_cell(cell, workspace, progress), workspace, folder)


def train_cell(
    cell: Cell, workspace: Workspace, progress: Progress, checkpoint: Checkpoint | None = None
) -> Trained:
    """The first half of `run_cell`, which cells that differ only in `store` have in common; from
    where `checkpoint` stands, if it does."""
    started = time.perf_counter()
    peak_memory.reset_peak(workspace.device)
    pristine = workspace.backbone(cell.key.backbone)
    method = load_method(workspace.registry.methods[cell.key.method], cell.options)
    encoded = workspace.tasks(cell)
    data = _batches(encoded, pristine, workspace.device, cell)
    _guard(cell, method, workspace, data)
    model = _adapted(cell, method, workspace, "adapt")
    if cell.start:
        regime = workspace.registry.methods[cell.key.method].regime
        start_from(cell.start.delta, cell.start.task, model, regime)
    seed = seed_for(cell.key.seed, "train")
    with frozen_in_bfloat16(model, method, pristine, data, workspace.device) as weights:
        training = train(model, method, data, cell.recipe, seed, progress, checkpoint)
    hosted = (
        f"examples of {task} stay on the host"
        for task, own in data.items()
        if not own.train.resident
    )
    training = replace(training, execution=(*training.execution, *weights, *hosted))
    facts = finite(method.facts(model))
    check_backbone(model, pristine, method)
    return Trained(
        method=method,
        model=model,
        encoded=encoded,
        data=data,
        training=training,
        facts=facts,
        seconds=time.perf_counter() - started + (checkpoint.earlier_seconds if checkpoint else 0),
        peak_memory_bytes=peak_memory.peak_bytes(workspace.device),
    )


def trained_before(cell: Cell, result: Result, delta: Path, workspace: Workspace) -> Trained:
    """What `train_cell` gave when the same training was stored in float32: `result` and its file.

    Raises CellError if the file is another one.
    """
    if not delta.is_file() or delta_digest(delta) != result.delta:
        raise CellError(
            f"{shown(delta)} is not the file that {result.cell.label} was scored from: delete it, "
            "and the cell will be trained"
        )
    peak_memory.reset_peak(workspace.device)
    assert result.processor_seconds is not None, "results of this identity have it"
    method = load_method(workspace.registry.methods[cell.key.method], cell.options)
    model = _adapted(cell, method, workspace, "adapt")
    load_delta(delta, model, method)
    encoded = workspace.tasks(cell)
    return Trained(
        method=method,
        model=model,
        encoded=encoded,
        data=_batches(encoded, workspace.backbone(cell.key.backbone), workspace.device, cell),
        training=Training(
            steps=result.steps,
            seconds=result.train_seconds,
            processor_seconds=result.processor_seconds,
            validation={score.task: score.validation_score for score in result.scores},
            trained_parameters=result.trained_parameters,
            execution=result.environment.execution if result.environment else (),
        ),
        facts=result.facts,
        seconds=result.train_seconds,
        peak_memory_bytes=result.peak_memory_bytes,
    )


def store_cell(cell: Cell, trained: Trained, workspace: Workspace, folder: Path) -> Result:
    """The second half of `run_cell`: save in the cell's precision, restore, score, count.

    Leaves `trained` as it was.
    """
    started = time.perf_counter()
    registry, key, method = workspace.registry, cell.key, trained.method
    entry = registry.methods[key.method]
    pristine = workspace.backbone(key.backbone)
    sealed = [(task, SealedTest(task.test)) for task in trained.encoded]

    # With another seed: a random tensor that is needed but not saved then differs, and shows.
    restored = _adapted(cell, method, workspace, "restore")
    rounding = None
    if key.store is not Store.FLOAT32:
        rounding = make_rounding(key.store, restored, _adapted(cell, method, workspace, "adapt"))
    delta = folder / "delta.safetensors"
    save_delta(delta, trained.model, method, entry.regime, _origin(cell, pristine), rounding)
    ledger = counted(delta, entry, pristine, cell, trained.facts)
    load_delta(delta, restored, method)
    # On validation data: a model that cannot be restored must not open the test split.
    as_stored = (
        contextlib.nullcontext(trained.model)
        if rounding is None
        else rounded(trained.model, method, entry.regime, rounding)
    )
    with as_stored as model:
        for own in trained.data.values():
            check_restored(model, restored, own.validation)
    on_validation = trained.training.validation
    if rounding is not None:
        # Of what is stored: a precision can then be chosen without a look at test scores.
        on_validation = validate(restored, trained.data)

    scores = []
    for encoded, seal in sealed:
        test, task = seal.open(), registry.tasks[f"{key.track}/{encoded.task.name}"]
        batches = Batches(task.name, test, pristine.entry, workspace.device)
        predicted = predictions(restored, batches)
        sizes = [len(split) for split in (encoded.train, encoded.validation, test)]
        note = "; ".join(filter(None, (departure(task, key.scale, *sizes), encoded.note)))
        scores.append(task_score(task, predicted, test, on_validation[task.name], note))

    return Result(
        cell=key,
        identity=cell.identity,
        status="ok",
        scores=tuple(scores),
        delta=delta_digest(delta),
        ledger=ledger,
        backbone_parameters=pristine.parameter_count(),
        trained_parameters=trained.training.trained_parameters,
        facts=trained.facts,
        recipe=cell.recipe,
        options=dict(cell.options),
        steps=trained.training.steps,
        train_seconds=round(trained.training.seconds, 3),
        processor_seconds=round(trained.training.processor_seconds, 3),
        total_seconds=round(trained.seconds + time.perf_counter() - started, 3),
        peak_memory_bytes=max(trained.peak_memory_bytes, peak_memory.peak_bytes(workspace.device)),
        environment=environment.describe(
            str(workspace.device), workspace.threads, trained.training.execution
        ),
    )


def _batches(
    encoded: Sequence[EncodedTask], backbone: Backbone, device: torch.device, cell: Cell
) -> dict[str, TaskBatches]:
    """What training may see of each task."""

    def train(examples: Examples) -> Examples:
        most = cell.recipe.examples
        if most is None or most >= len(examples):
            return examples
        rng = np.random.Generator(np.random.PCG64(seed_for(cell.key.seed, "examples")))
        return examples.take(torch.from_numpy(rng.permutation(len(examples))[:most]))

    return {
        own.task.name: TaskBatches(
            Batches(own.task.name, train(own.train), backbone.entry, device),
            Batches(own.task.name, own.validation, backbone.entry, device),
        )
        for own in encoded
    }


def _adapted(cell: Cell, method: Method, workspace: Workspace, purpose: str) -> AdaptedModel:
    """The cell's untrained model, under the seed of a purpose."""
    key = cell.key
    tasks = [workspace.registry.tasks[f"{key.track}/{task}"] for task in key.tasks]
    pristine = workspace.backbone(key.backbone)
    model = adapt_model(method, pristine, tasks, seed_for(key.seed, purpose), workspace.device)
    model.precision = cell.recipe.precision
    return model


def _guard(
    cell: Cell, method: Method, workspace: Workspace, data: Mapping[str, TaskBatches]
) -> None:
    """Raise CellError if training would be in vain; once for a setting, a backbone and a number of
    tasks."""
    key = (cell.key.method, *sorted(cell.options.items()), cell.key.backbone, len(data))
    if key in workspace.sound:
        return
    entry = workspace.registry.methods[cell.key.method]
    pristine = workspace.backbone(cell.key.backbone)
    batches = [next(own.train.evaluation(GUARD_BATCH))[1] for own in data.values()]
    model = _adapted(cell, method, workspace, "restore")
    with arithmetic(model, workspace.device):
        fault = guards.fault(model, method, entry, cell.options, pristine, batches)
    if fault:
        raise CellError(fault)
    workspace.sound.add(key)


def _origin(cell: Cell, pristine: Backbone) -> Origin:
    found = locate_model(pristine.entry)
    assert isinstance(found, Model), "it has been loaded"
    return Origin(
        cell=cell.key,
        options=dict(cell.options),
        max_length=cell.recipe.max_length,
        precision=cell.recipe.precision,
        weights=found.fingerprint,
    )
