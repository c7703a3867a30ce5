"""Ways to take a training step, measured in turns."""

import statistics
import time
from collections.abc import Callable, Mapping

from suite.data.batching import Batch
from suite.engine.optimizer import make_optimizer
from suite.method import AdaptedModel, Method, ParameterSet
from suite.registry.schema import Recipe


def stepper(
    model: AdaptedModel, method: Method, batch: Batch, recipe: Recipe
) -> Callable[[], float]:
    """A function that takes one step of the engine's training and returns its seconds of processor
    time, which other programs on the machine disturb less than the clock."""
    model.train()
    parameters = ParameterSet(p for p in model.parameters() if p.requires_grad)
    optimizer = make_optimizer(method, model, parameters, recipe)

    def step() -> float:
        started = time.process_time()
        loss = model.loss(batch)
        penalty = method.penalty(model, 0.5)
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step(1.0, 0.5)
        return time.process_time() - started

    return step


def medians(ways: Mapping[str, Callable[[], float]], rounds: int, warmup: int) -> dict[str, float]:
    """The median seconds of each way. Who goes first alternates: caches favour neither."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warmup + rounds):
        order = list(ways.items())
        for name, step in order if turn % 2 else order[::-1]:
            seconds = step()
            if turn >= warmup:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}
