"""The contract test of a method: the checks that every entry must pass, in seconds on a CPU.

Each check trains the method for a few steps on the mini backbone of a family and two of its
tasks. A broken method fails with a message that names its fault.
"""

import contextlib
import functools
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from suite.backbones.base import TextToTextBackbone
from suite.console import shown
from suite.contract.answers import (
    answers_are_repeatable,
    compiles,
    mixed_batches_give_the_same,
    order_of_tasks_does_not_matter,
    padding_does_not_matter,
    predicts_without_answers,
    restores_from_its_file,
    restores_what_is_rounded,
    survives_a_deep_copy,
)
from suite.contract.costs import (
    cost_holds_for_one_task,
    cost_holds_for_other_options,
    facts_are_declared,
    ledger_equals_closed_form,
    only_outputs_are_heads,
    statistics_are_used,
)
from suite.contract.fixture import Bench, Fault, make_bench
from suite.contract.forms import works_with_a_class_token
from suite.contract.training import (
    LossDoesNotFall,
    backbone_is_untouched,
    follows_the_seed,
    gradients_reach_what_trains,
    keeps_nothing_but_its_file,
    loss_falls,
    names_do_not_matter,
    only_steps_move_parameters,
    same_seed_same_delta,
    tasks_are_isolated,
)
from suite.errors import Diverged, Unsupported, UserError
from suite.method.model import AdaptedModel
from suite.registry import Registry
from suite.registry.schema import Family, MethodEntry

T = TypeVar("T")


RATES = ((1.0, 1.0), (0.1, 0.1), (10.0, 1.0), (100.0, 1.0))
"""Factors of the recipe's learning rates, those of heads second: rates that were searched over
hundreds of steps may do too much or too little in ten."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one method on one family."""

    family: Family
    check: str
    fault: str
    """What is wrong; empty if the method keeps this promise."""


def check_method(entry: MethodEntry, registry: Registry, family: Family) -> Iterator[Finding]:
    """Run every check of a method on one family it claims; some faults end the test early."""
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
    """Run some checks (default: all) on a prepared bench; some faults end the test early."""
    family = bench.backbone.entry.family
    before = _surroundings(bench)
    model, fault = _attempt(bench, lambda: _trained(bench))
    yield Finding(family, "trains", fault)
    if model is None:
        return
    for name, value in _surroundings(bench).items():
        if value != before[name]:
            yield Finding(family, "surroundings", f"changes {name}, which other cells share")
    for check in CHECKS if checks is None else checks:
        _, fault = _attempt(bench, functools.partial(check, bench, model))
        yield Finding(family, check.__name__, fault)


def _attempt(bench: Bench, part: Callable[[], T]) -> tuple[T | None, str]:
    """The value that a part of the test returns, or the fault that ended it."""
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


def _trained(bench: Bench) -> AdaptedModel:
    """The model at the first of a few learning rates at which its loss falls; else at the first."""
    given = bench.recipe
    for rate, head_rate in RATES:
        head = given.head_learning_rate
        update = {"learning_rate": rate * given.learning_rate}
        update |= {} if head is None else {"head_learning_rate": head_rate * head}
        bench.recipe = given.model_copy(update=update)
        with contextlib.suppress(Diverged, LossDoesNotFall):
            model = _trained_once(bench)
            loss_falls(bench, model)
            return model
    bench.recipe = given
    try:
        return _trained_once(bench)
    except Diverged as error:
        raise Fault(f"diverges: {error}") from None


def _trained_once(bench: Bench) -> AdaptedModel:
    given = [entry.model_dump() for entry in (bench.recipe, *bench.tasks)]
    bench.reached.clear()
    bench.moved.clear()
    try:
        untrained = bench.adapt(bench.served)
        if not any(parameter.requires_grad for parameter in untrained.parameters()):
            raise Fault(
                f"no parameter is left to train on {bench.backbone.family}: "
                "adapt() unfreezes and inserts nothing there"
            )
        model = bench.train(bench.served)
    except Unsupported as refusal:
        raise Fault(
            f"refuses {bench.backbone.family} ('{refusal}') although its YAML lists it in families"
        ) from None
    pairs = zip(untrained.parameters(), model.parameters(), strict=True)
    if all(torch.equal(old, new) for old, new in pairs):
        raise Fault("training changes no parameter")
    if given != [entry.model_dump() for entry in (bench.recipe, *bench.tasks)]:
        raise Fault("training changes its recipe or a task's entry")
    return model


def _surroundings(bench: Bench) -> dict[str, object]:
    """Global state that the cells of a process share, by a description of each setting."""
    batch = bench.batch(bench.tasks[0])
    pristine = bench.backbone.fresh().eval()
    with torch.no_grad():
        if isinstance(pristine, TextToTextBackbone):
            answers = pristine(batch.inputs, batch.target_ids)
        else:
            answers = pristine(batch.inputs)
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's precision of products": torch.get_float32_matmul_precision(),
        "torch's cuDNN": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark),
        "torch's gradients": torch.is_grad_enabled(),
        "torch's treatment of denormal numbers": float(torch.tensor(1e-40) * 1.0),
        "how an unadapted backbone computes": answers.tolist(),
    }


CHECKS: tuple[Callable[[Bench, AdaptedModel], None], ...] = (
    loss_falls,
    backbone_is_untouched,
    gradients_reach_what_trains,
    only_steps_move_parameters,
    ledger_equals_closed_form,
    cost_holds_for_one_task,
    cost_holds_for_other_options,
    only_outputs_are_heads,
    statistics_are_used,
    facts_are_declared,
    answers_are_repeatable,
    padding_does_not_matter,
    predicts_without_answers,
    restores_from_its_file,
    restores_what_is_rounded,
    order_of_tasks_does_not_matter,
    mixed_batches_give_the_same,
    survives_a_deep_copy,
    same_seed_same_delta,
    follows_the_seed,
    names_do_not_matter,
    keeps_nothing_but_its_file,
    tasks_are_isolated,
    works_with_a_class_token,
    compiles,
)
