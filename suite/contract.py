"""The contract test of a method: what every registry entry must keep, in seconds on a CPU.

Each check trains the method for a few steps on the mini backbone of a family and two of its
tasks. A broken method fails with a message that names its fault.
"""

import copy
import dataclasses
import functools
import random
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from suite.backbones.base import TextToTextBackbone
from suite.bench import BATCH, SEED, Bench, Fault, make_bench
from suite.contract_costs import (
    cost_holds_for_one_task,
    cost_holds_for_other_options,
    facts_are_declared,
    ledger_equals_closed_form,
    only_outputs_are_heads,
)
from suite.data.batching import Batch
from suite.delta import changed_tensors, stored_tensors
from suite.errors import Diverged, Unsupported, UserError
from suite.model import AdaptedModel
from suite.registry import Registry
from suite.registry.problems import shown
from suite.registry.schema import Family, MethodEntry, TaskEntry

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one method on one family."""

    family: Family
    check: str
    fault: str
    """What is wrong; empty if the method keeps this promise."""


def check_method(entry: MethodEntry, registry: Registry, family: Family) -> Iterator[Finding]:
    """Run every check of a method on one family it claims; stops at what makes the rest moot."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            bench = make_bench(entry, registry, family, Path(folder))
        except UserError:
            raise
        except Exception as error:
            yield Finding(family, "can be made", _raised(error, entry.python_path))
            return
        yield from check_bench(bench)


def check_bench(
    bench: Bench, checks: Sequence[Callable[[Bench, AdaptedModel], None]] | None = None
) -> Iterator[Finding]:
    """Run some checks (default: all) on a prepared bench; stops at what makes the rest moot."""
    family = bench.backbone.entry.family
    model, fault = _attempt(bench, lambda: _trained(bench))
    yield Finding(family, "trains", fault)
    if model is None:
        return
    for check in CHECKS if checks is None else checks:
        _, fault = _attempt(bench, functools.partial(check, bench, model))
        yield Finding(family, check.__name__.removeprefix("_"), fault)


def _attempt(bench: Bench, part: Callable[[], T]) -> tuple[T | None, str]:
    """What a part of the test returns, or the fault that ended it."""
    try:
        return part(), ""
    except Fault as fault:
        return None, str(fault)
    except Exception as error:
        return None, _raised(error, bench.entry.python_path)


def _raised(error: Exception, source: Path) -> str:
    """An error of a method's own code as a fault, with its place in the file."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next(
        (frame for frame in reversed(frames) if Path(frame.filename) == source), frames[-1]
    )
    what = " ".join(str(error).split())
    return f"raises {type(error).__name__}: {what} ({shown(Path(place.filename))}:{place.lineno})"


def _loss(model: AdaptedModel, bench: Bench, tasks: Sequence[TaskEntry]) -> float:
    model.eval()
    with torch.no_grad():
        return float(np.mean([float(model.loss(bench.batch(task))) for task in tasks]))


def _outputs(model: AdaptedModel, batch: Batch) -> Tensor:
    model.eval()
    model.context.activate(batch.task)
    with torch.no_grad():
        if isinstance(model.backbone, TextToTextBackbone):
            return model(batch.inputs, batch.target_ids)
        return model(batch.inputs)


def _trained(bench: Bench) -> AdaptedModel:
    try:
        untrained = bench.adapt(bench.served)
        if not any(parameter.requires_grad for parameter in untrained.parameters()):
            raise Fault(
                f"no parameter is left to train on {bench.backbone.family}: "
                "adapt() unfreezes and inserts nothing there"
            )
        before = _loss(untrained, bench, bench.served)
        model = bench.train(bench.served)
    except Unsupported as refusal:
        raise Fault(
            f"refuses {bench.backbone.family} ('{refusal}') although its YAML lists it in families"
        ) from None
    except Diverged as error:
        raise Fault(f"diverges: {error}") from None
    pairs = zip(untrained.parameters(), model.parameters(), strict=True)
    if all(torch.equal(old, new) for old, new in pairs):
        raise Fault("training changes no parameter")
    after = _loss(model, bench, bench.served)
    if not after < before:
        raise Fault(f"the training loss does not fall: {before:.4f} before, {after:.4f} after")
    return model


def _backbone_is_untouched(bench: Bench, model: AdaptedModel) -> None:
    leaked = changed_tensors(model, bench.backbone, bench.method)
    if leaked:
        raise Fault(f"training changed {leaked[0]} of the backbone without storing it")


def _gradients_reach_what_trains(bench: Bench, model: AdaptedModel) -> None:
    declared = {name for name, p in model.named_parameters() if p.requires_grad}
    missed = sorted(declared - bench.reached)
    if missed:
        raise Fault(f"{missed[0]} requires a gradient and never received one other than zero")
    kept = sorted(declared - bench.moved)
    if kept:
        raise Fault(f"training never changes {kept[0]}: is it in a parameter group and a phase?")


def _keeps_to_its_steps(bench: Bench, model: AdaptedModel) -> None:
    shares = sum(phase.share for phase in bench.method.phases(bench.adapt(bench.served)))
    if shares > 1 + 1e-6:
        raise Fault(
            f"its phases take {shares:.3g} times the steps of the recipe: shares add up to 1"
        )


def _answers_are_repeatable(bench: Bench, model: AdaptedModel) -> None:
    batch = bench.batch(bench.served[0])
    whole = _outputs(model, batch)
    if not torch.equal(whole, _outputs(model, batch)):
        raise Fault(
            "in evaluation mode the model answers the same batch in two ways: "
            "is dropout or other randomness left on?"
        )
    half = BATCH // 2
    part = dataclasses.replace(
        batch,
        inputs={name: values[:half] for name, values in batch.inputs.items()},
        targets=batch.targets[:half],
        target_ids=None if batch.target_ids is None else batch.target_ids[:half],
    )
    if not torch.allclose(whole[:half], _outputs(model, part), rtol=1e-3, atol=1e-4):
        raise Fault("an answer depends on the other examples of its batch")


def _follows_the_seed(bench: Bench, model: AdaptedModel) -> None:
    drawn = []
    for seed in (SEED, SEED + 1):
        bench.adapt(bench.served, seed)
        drawn.append(float(torch.rand(())))
    if drawn[0] == drawn[1]:
        raise Fault("adapt() seeds torch itself: every seed would give the same model")


def _restores_from_its_file(bench: Bench, model: AdaptedModel) -> None:
    restored = bench.restore(bench.save(model, "restore"), bench.served)
    for task in bench.served:
        batch = bench.batch(task)
        if not torch.equal(_outputs(model, batch), _outputs(restored, batch)):
            saved, loaded = (stored_tensors(each, bench.method) for each in (model, restored))
            for name in saved.keys() & loaded.keys():
                if not torch.equal(saved[name], loaded[name]):
                    raise Fault(f"load() puts back {name} with other values than were stored")
            raise Fault(
                f"loaded from its file into a fresh backbone, the model answers {task.name} "
                "differently: something that matters is not stored"
            )


def _same_seed_same_delta(bench: Bench, model: AdaptedModel) -> None:
    first = bench.save(model, "first").read_bytes()
    random.seed(time.perf_counter_ns())
    np.random.seed(time.perf_counter_ns() % 2**32)
    torch.manual_seed(time.perf_counter_ns())
    again = bench.save(bench.train(bench.served), "again").read_bytes()
    if first != again:
        raise Fault("trained twice with the same seed, the saved deltas differ")


def _tasks_are_isolated(bench: Bench, model: AdaptedModel) -> None:
    first, second = bench.tasks
    batch = bench.batch(first)
    if bench.entry.regime == "joint":
        before = _outputs(model, batch)
        own = [
            tensor.data
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
            if f".by_task.{second.name}." in name and tensor.is_floating_point()
        ]
        kept = [tensor.clone() for tensor in own]
        for tensor in own:
            tensor.add_(1.0)
        after = _outputs(model, batch)
        for tensor, value in zip(own, kept, strict=True):
            tensor.copy_(value)
        if not torch.equal(before, after):
            raise Fault(
                f"changing what belongs to {second.name} changes the output of {first.name}"
            )
        return
    path = bench.save(model, "isolated")
    before = _outputs(model, batch)
    bench.train([second])
    if not torch.equal(before, _outputs(bench.restore(path, [first]), batch)):
        raise Fault(
            f"after training {second.name}, the stored delta of {first.name} acts differently"
        )
    if not torch.equal(before, _outputs(model, batch)):
        raise Fault(f"training {second.name} changed the model of {first.name}")


def _survives_a_deep_copy(bench: Bench, model: AdaptedModel) -> None:
    batch = bench.batch(bench.served[0])
    if not torch.equal(_outputs(model, batch), _outputs(copy.deepcopy(model), batch)):
        raise Fault("a deep copy of the model answers differently")


def _predicts_in_range(bench: Bench, model: AdaptedModel) -> None:
    for task in bench.served:
        model.eval()
        predicted = model.predict(bench.batch(task))
        if len(predicted) != BATCH or not torch.isfinite(predicted.float()).all():
            raise Fault(
                f"predict() does not give one finite answer for each example of {task.name}"
            )


def compiles(bench: Bench, model: AdaptedModel) -> None:
    """Compiled with `torch.compile`, the model on text answers as before; the slowest check."""
    if bench.backbone.entry.modality != "text":
        return
    batch = bench.batch(bench.served[0])
    expected = _outputs(model, batch)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", dynamic=False)
    try:
        actual = _outputs(compiled, batch)
    except Exception as error:
        raise Fault(f"torch.compile fails: {' '.join(str(error).split())[:200]}") from None
    if not torch.allclose(expected, actual, rtol=1e-4, atol=1e-5):
        raise Fault("compiled with torch.compile, the model answers differently")


CHECKS: tuple[Callable[[Bench, AdaptedModel], None], ...] = (
    _backbone_is_untouched,
    _gradients_reach_what_trains,
    _keeps_to_its_steps,
    ledger_equals_closed_form,
    cost_holds_for_one_task,
    cost_holds_for_other_options,
    only_outputs_are_heads,
    _answers_are_repeatable,
    facts_are_declared,
    _restores_from_its_file,
    _same_seed_same_delta,
    _follows_the_seed,
    _tasks_are_isolated,
    _survives_a_deep_copy,
    _predicts_in_range,
    compiles,
)
