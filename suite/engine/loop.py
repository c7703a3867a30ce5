"""Train an adapted model and keep the state that scored best on validation."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from suite.data.batching import Batch, MixedBatch
from suite.engine.capture import described, on_side_stream
from suite.engine.checkpoint import Checkpoint
from suite.engine.delta import live_tensors
from suite.engine.optimizer import make_optimizer
from suite.engine.resume import Resumable
from suite.engine.scoring import validate
from suite.engine.seeding import seed_for
from suite.engine.step import TrainingStep
from suite.engine.training_data import TaskBatches, on_features, stream, trains_heads_alone
from suite.errors import Diverged, Unsupported
from suite.method import Method, ParameterSet, Phase
from suite.method.model import AdaptedModel
from suite.registry.schema import Recipe

Progress = Callable[[int, int], None]
"""Called with (optimizer steps done, steps in all) after every step."""


@dataclass(frozen=True)
class Stretch:
    """A phase as it will be trained: on what, for how long and with which seed."""

    number: int
    phase: Phase
    parameters: ParameterSet
    data: Mapping[str, TaskBatches]
    steps: int
    seed: int


@dataclass(frozen=True)
class Training:
    """What training did."""

    steps: int
    seconds: float
    """By the clock."""
    processor_seconds: float
    """Of the process, all its threads together."""
    validation: Mapping[str, float]
    """Validation score of every task at the state that was kept."""
    trained_parameters: int
    execution: tuple[str, ...] = ()
    """How the device was used, if it can be used in more ways than one."""


@dataclass(frozen=True)
class Trained:
    """What the training of a phase did."""

    validation: Mapping[str, float]
    """Scores of the phase's tasks at the state that was kept."""
    captured: int
    """Steps that were replayed as CUDA graphs."""
    uncaptured: Mapping[str, int]
    """Steps that were not, by reason."""


def train(
    model: AdaptedModel,
    method: Method,
    data: Mapping[str, TaskBatches],
    recipe: Recipe,
    seed: int,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Run every phase of the method and leave the best state of each in `model`; from where
    `checkpoint` stands, if it does.

    Raises Unsupported if the recipe mixes tasks in a batch and the method needs batches of one
    task, and ValueError if the phases take more steps than the recipe gives. Raises Diverged if a
    loss is not finite; the loss is read only at evaluations, so that no step waits for the device.
    """
    started, computed = time.perf_counter(), time.process_time()
    trainable = ParameterSet(p for p in model.parameters() if p.requires_grad)
    # Decided before the first phase: each phase below turns the gradients of the others off.
    stretches = _stretches(method.phases(model), trainable, data, recipe, seed)
    total = sum(stretch.steps for stretch in stretches)
    done = 0
    validation: dict[str, float] = {}
    captured, uncaptured = 0, Counter[str]()
    for stretch in stretches:
        if stretch.phase.prepare is not None:
            stretch.phase.prepare()
        _train_only(trainable, stretch.parameters)
        report = partial(_report, progress, done, total)
        with on_side_stream(next(iter(stretch.parameters)).device):
            trained = _train_stretch(model, method, stretch, recipe, report, checkpoint)
        validation |= trained.validation
        captured += trained.captured
        uncaptured.update(trained.uncaptured)
        done += stretch.steps
        if stretch.phase.finish is not None:
            stretch.phase.finish(partial(_validate_some, model, data))
    # `finish` may change the model (merge it, say) after the scores of its phase were taken.
    if any(stretch.phase.finish is not None for stretch in stretches):
        validation = validate(model, data)
    _train_only(trainable, trainable)
    model.eval()
    return Training(
        steps=done,
        seconds=time.perf_counter() - started + (checkpoint.earlier_seconds if checkpoint else 0),
        processor_seconds=time.process_time()
        - computed
        + (checkpoint.earlier_processor_seconds if checkpoint else 0),
        validation=validation,
        trained_parameters=_trained_parameters(stretches),
        execution=described(captured, uncaptured),
    )


def _trained_parameters(stretches: Sequence[Stretch]) -> int:
    """How many parameters were trained: each once, and again in every network of its own."""
    apart = [stretch.parameters for stretch in stretches if stretch.phase.apart]
    together = ParameterSet(
        parameter
        for stretch in stretches
        if not stretch.phase.apart
        for parameter in stretch.parameters
    )
    return sum(parameter.numel() for own in [together, *apart] for parameter in own)


def _stretches(
    phases: Sequence[Phase],
    trainable: ParameterSet,
    data: Mapping[str, TaskBatches],
    recipe: Recipe,
    seed: int,
) -> list[Stretch]:
    """The phases, each with its share of the recipe's steps."""
    if recipe.mixed_batches and any(
        (phase.penalty or phase.observe) and len(phase.tasks) > 1 for phase in phases
    ):
        raise Unsupported("it looks at batches of one task: no mixed_batches")
    budget = recipe.steps * len(data)
    stretches = [
        Stretch(
            number,
            phase,
            ParameterSet(phase.parameters or trainable),
            {task: data[task] for task in phase.tasks},
            max(1, round(budget * phase.share)),
            seed_for(seed, "phase", number),
        )
        for number, phase in enumerate(phases)
    ]
    total = sum(stretch.steps for stretch in stretches)
    # Every phase may be rounded up by half a step.
    if total > budget + len(phases) // 2:
        raise ValueError(
            f"its phases take {total} steps where the recipe has {budget}: shares add up to 1"
        )
    return stretches


def _report(progress: Progress, before: int, total: int, step: int) -> None:
    progress(before + step, total)


def _train_stretch(
    model: AdaptedModel,
    method: Method,
    stretch: Stretch,
    recipe: Recipe,
    progress: Callable[[int], None],
    checkpoint: Checkpoint | None,
) -> Trained:
    """Train for the steps of one phase, and leave the best state in the model."""
    phase, data, steps = stretch.phase, stretch.data, stretch.steps
    optimizer = make_optimizer(method, model, stretch.parameters, recipe)
    model.train()
    if trains_heads_alone(model, phase, stretch.parameters, recipe):
        data = on_features(model, data)
    batches = stream(data, recipe, stretch.seed)
    evaluate_after = {
        round(steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)
    }
    device = next(iter(stretch.parameters)).device
    total_loss = torch.zeros((), device=device)
    best: list[Tensor] = []
    best_score = -np.inf
    best_validation: dict[str, float] = {}
    # Dropout draws from torch's own generator; batches have generators of theirs. So a method that
    # draws more random numbers does not see other batches.
    torch.manual_seed(seed_for(stretch.seed, "dropout"))
    resumable = Resumable(model, stretch.parameters, optimizer, total_loss)
    standing = checkpoint.read(stretch.number) if checkpoint else None
    done = standing.step if standing else 0
    if standing:
        if done < steps or phase.observe is not None:
            _skip(batches, done, phase)
        best = resumable.restore(standing, ended=done == steps)
        best_score, best_validation = standing.best_score, dict(standing.best_validation)
        del standing
    # Only what training can change is copied at an evaluation, not the frozen backbone.
    live = list(live_tensors(model).values())
    training_step = TrainingStep(model, method, phase, recipe, optimizer, steps, total_loss)
    for step in range(done + 1, steps + 1):
        batch = next(batches)
        moved = training_step.take(step, batch)
        _show(phase, batch)
        progress(step)
        if moved:
            # Copies of the earlier tensors no longer fit.
            live, best, best_score = list(live_tensors(model).values()), [], -np.inf
        if step in evaluate_after:
            if not torch.isfinite(total_loss):
                raise Diverged(f"the training loss is not finite by step {step} of {steps}")
            validation = validate(model, data)
            mean = float(np.mean(list(validation.values())))
            # On a tie the later state is kept, because it has seen more examples.
            if mean >= best_score:
                best_score, best_validation = mean, validation
                best = _kept(live, best)
            model.train()
        if checkpoint and step < steps and checkpoint.due:
            now = resumable.capture(step, best, best_score, best_validation, ended=False)
            checkpoint.write(stretch.number, now)
    if checkpoint and done < steps:
        now = resumable.capture(steps, best, best_score, best_validation, ended=True)
        checkpoint.end(stretch.number, now)
    for tensor, kept in zip(live, best, strict=True):
        tensor.copy_(kept)
    if optimizer.stepper:
        optimizer.stepper.close()
    return Trained(best_validation, training_step.captured, training_step.uncaptured)


@torch.no_grad()
def _kept(live: Sequence[Tensor], earlier: list[Tensor]) -> list[Tensor]:
    """Copies of the `live` tensors, in the memory of `earlier` ones if there are any: never two."""
    if not earlier:
        return [tensor.clone() for tensor in live]
    for kept, tensor in zip(earlier, live, strict=True):
        kept.copy_(tensor)
    return earlier


def _skip(batches: Iterator[Batch | MixedBatch], count: int, phase: Phase) -> None:
    """Draw the batches of steps that were taken before."""
    for _ in range(count):
        _show(phase, next(batches))


def _show(phase: Phase, batch: Batch | MixedBatch) -> None:
    if phase.observe is not None:
        # `_stretches` refuses such a phase where tasks are mixed.
        assert isinstance(batch, Batch)
        phase.observe(batch)


def _validate_some(
    model: AdaptedModel, data: Mapping[str, TaskBatches], *tasks: str
) -> dict[str, float]:
    return validate(model, {task: data[task] for task in tasks or data})


def _train_only(trainable: ParameterSet, chosen: ParameterSet) -> None:
    for parameter in trainable:
        parameter.requires_grad_(parameter in chosen)
