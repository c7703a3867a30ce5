"""Train an adapted model and keep the state that scored best on validation."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from suite.data.batching import Batch, Batches, FeatureBatches, MixedBatch, mixed_batches
from suite.engine.delta import live_tensors
from suite.engine.optimizer import make_optimizer, rate_factor
from suite.engine.seeding import seed_for
from suite.errors import Diverged, Unsupported
from suite.method import Method, Phase
from suite.method.model import AdaptedModel, HeadedModel
from suite.registry.schema import Recipe
from suite.results.scores import evaluate, score

EVALUATION_BATCH = 256
FEATURE_BYTES = 2**30
"""Most memory that the features of a frozen backbone may take."""

Progress = Callable[[int, int], None]
"""Called with (optimizer steps done, steps in all) after every step."""


@dataclass(frozen=True)
class TaskBatches:
    """What training may see of a task: its training and validation splits."""

    train: Batches
    validation: Batches


@dataclass(frozen=True)
class Training:
    """What training did."""

    steps: int
    seconds: float
    validation: Mapping[str, float]
    """Validation score of every task at the state that was kept."""
    trained_parameters: int


def train(
    model: AdaptedModel,
    method: Method,
    data: Mapping[str, TaskBatches],
    recipe: Recipe,
    seed: int,
    progress: Progress,
) -> Training:
    """Run every phase of the method and leave the best state of each in `model`.

    Raises Unsupported where the recipe mixes tasks in a batch that the method wants apart, and
    ValueError where the phases take more steps than the recipe gives.
    Raises Diverged when a loss is not finite; it is looked at only at evaluations, so no step
    waits for the device.
    """
    started = time.perf_counter()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    phases = method.phases(model)
    if recipe.mixed_batches and any(phase.penalty and len(phase.tasks) > 1 for phase in phases):
        raise Unsupported("a term of its loss looks at batches of one task: no mixed_batches")
    budget = recipe.steps * len(data)
    lengths = [max(1, round(budget * phase.share)) for phase in phases]
    # Every phase may be rounded up by half a step.
    if sum(lengths) > budget + len(phases) // 2:
        raise ValueError(
            f"its phases take {sum(lengths)} steps where the recipe has {budget}: "
            "shares add up to 1"
        )
    done = 0
    validation: dict[str, float] = {}

    def validate() -> dict[str, float]:
        return {task: _validate(model, own.validation) for task, own in data.items()}

    for number, (phase, steps) in enumerate(zip(phases, lengths, strict=True)):
        before = done

        def report(step: int, before: int = before) -> None:
            progress(before + step, sum(lengths))

        if phase.prepare is not None:
            phase.prepare()
        parameters = list(phase.parameters or trainable)
        _train_only(trainable, parameters)
        phase_data = {task: data[task] for task in phase.tasks}
        validation |= _run_phase(
            model,
            method,
            phase,
            phase_data,
            recipe,
            parameters,
            steps,
            seed_for(seed, "phase", number),
            report,
        )
        if phase.finish is not None:
            phase.finish(validate)
        done += steps
    if any(phase.finish is not None for phase in phases):
        validation = validate()
    _train_only(trainable, trainable)
    model.eval()
    return Training(
        steps=done,
        seconds=time.perf_counter() - started,
        validation=validation,
        trained_parameters=sum(parameter.numel() for parameter in trainable),
    )


def predictions(model: AdaptedModel, batches: Batches) -> np.ndarray:
    """Predictions of every example [N], in the order of the examples. The model is not shown the
    answers."""
    model.eval()
    rows: list[np.ndarray] = []
    outputs: list[Tensor] = []
    with autocast(batches.examples.targets.device):
        for index, batch in batches.evaluation(EVALUATION_BATCH):
            rows.append(index)
            outputs.append(model.predict(batch.unanswered()).cpu())
    order = np.concatenate(rows)
    values = torch.cat(outputs).numpy()
    result = np.empty_like(values)
    result[order] = values
    return result


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU; exact float32 on the CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _run_phase(
    model: AdaptedModel,
    method: Method,
    phase: Phase,
    data: Mapping[str, TaskBatches],
    recipe: Recipe,
    parameters: Sequence[nn.Parameter],
    steps: int,
    seed: int,
    progress: Callable[[int], None],
) -> dict[str, float]:
    optimizer = make_optimizer(method, model, parameters, recipe)
    stepper = optimizer.stepper
    model.train()
    if _trains_heads_alone(model, phase, parameters, recipe):
        data = _on_features(model, data)
    batches = _stream(data, recipe, seed)
    evaluate_after = {
        round(steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)
    }
    device = parameters[0].device
    total_loss = torch.zeros((), device=device)
    live = list(live_tensors(model).values())
    best: list[Tensor] = []
    best_score = -np.inf
    best_validation: dict[str, float] = {}
    torch.manual_seed(seed_for(seed, "dropout"))
    for step in range(1, steps + 1):
        batch = next(batches)
        with autocast(device):
            if isinstance(batch, Batch):
                loss = model.loss(batch, recipe.label_smoothing)
            else:
                loss = model.mixed_loss(batch, recipe.label_smoothing)
            penalty = None if stepper else method.penalty(model, (step - 1) / steps)
            if penalty is not None:
                loss = loss + penalty
            if phase.penalty is not None:
                loss = loss + phase.penalty(batch)
        total_loss += loss.detach()
        loss.backward()
        optimizer.step(rate_factor(recipe, step, steps), (step - 1) / steps)
        progress(step)
        if stepper and stepper.rearranged:
            live, best_score = list(live_tensors(model).values()), -np.inf
        if step in evaluate_after:
            if not torch.isfinite(total_loss):
                raise Diverged(f"the training loss is not finite by step {step} of {steps}")
            validation = {task: _validate(model, own.validation) for task, own in data.items()}
            mean = float(np.mean(list(validation.values())))
            # On a tie the later state, which has seen more examples.
            if mean >= best_score:
                best_score, best_validation = mean, validation
                best = [tensor.clone() for tensor in live]
            model.train()
    for tensor, kept in zip(live, best, strict=True):
        tensor.copy_(kept)
    if stepper:
        stepper.close()
    return best_validation


def _trains_heads_alone(
    model: AdaptedModel, phase: Phase, parameters: Sequence[nn.Parameter], recipe: Recipe
) -> bool:
    """Whether the heads read the same features of an example at every step of the phase.

    In training mode, a backbone of which nothing trains is in evaluation mode.
    """
    if type(model) is not HeadedModel or model.backbone.training:
        return False
    heads = {id(parameter) for parameter in model.heads.parameters()}
    seen = recipe.augmentation == "none" and phase.penalty is None
    return seen and all(id(parameter) in heads for parameter in parameters)


def _on_features(model: AdaptedModel, data: Mapping[str, TaskBatches]) -> Mapping[str, TaskBatches]:
    """Data whose inputs are the backbone's features; as they are if those are too many to keep."""
    width = model.backbone.width
    examples = sum(len(own.train.examples) + len(own.validation.examples) for own in data.values())
    if 4 * examples * width > FEATURE_BYTES:
        return data

    @torch.no_grad()
    def compute(batch: Batch) -> Tensor:
        model.context.activate(batch.task)
        with autocast(batch.targets.device):
            return model.backbone(batch.inputs)

    return {
        task: TaskBatches(
            *(FeatureBatches(part, width, compute) for part in (own.train, own.validation))
        )
        for task, own in data.items()
    }


def _validate(model: AdaptedModel, batches: Batches) -> float:
    targets = batches.examples.targets.cpu().numpy()
    return score(evaluate(model.tasks[batches.task], predictions(model, batches), targets))


def _stream(
    data: Mapping[str, TaskBatches], recipe: Recipe, seed: int
) -> Iterator[Batch | MixedBatch]:
    """One task per batch, or with mixed batches per row, drawn with probability proportional to
    size^(1/temperature) (Karimi Mahabadi et al. 2021, section 3)."""
    tasks = sorted(data)
    weights = np.array([len(data[task].train.examples) for task in tasks], float)
    weights **= 1 / recipe.temperature
    chances = weights / weights.sum()
    if recipe.mixed_batches and len(tasks) > 1:
        training = {task: data[task].train for task in tasks}
        yield from mixed_batches(training, chances, recipe, seed_for(seed, "tasks"))
    streams = {
        task: data[task].train.training(recipe, seed_for(seed, "order", task)) for task in tasks
    }
    rng = np.random.Generator(np.random.PCG64(seed_for(seed, "tasks")))
    while True:
        task = tasks[rng.choice(len(tasks), p=chances)]
        yield next(streams[task])


def _train_only(all_parameters: Sequence[nn.Parameter], chosen: Sequence[nn.Parameter]) -> None:
    wanted = {id(parameter) for parameter in chosen}
    for parameter in all_parameters:
        parameter.requires_grad_(id(parameter) in wanted)
