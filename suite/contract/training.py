"""Checks of a method's training: what it may change, and what it leaves behind."""

import dataclasses
import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from suite.contract.answers import outputs
from suite.contract.fixture import SEED, Bench, Fault
from suite.engine.delta import changed_tensors
from suite.engine.scoring import predictions
from suite.method import Method, ParameterGroup, ParameterSet, Phase
from suite.method.model import AdaptedModel, HeadedModel

T = TypeVar("T")


class LossDoesNotFall(Fault):
    """A few steps did not lower the training loss."""


def loss_falls(bench: Bench, model: AdaptedModel) -> None:
    """A few steps on a few examples lower the training loss."""
    losses = []
    for own in (bench.adapt(bench.served), model.eval()):
        with torch.no_grad():
            losses.append(np.mean([float(own.loss(bench.batch(task))) for task in bench.served]))
    if not losses[1] < losses[0]:
        raise LossDoesNotFall(
            f"the training loss does not fall: {losses[0]:.4f} before, {losses[1]:.4f} after"
        )


def backbone_is_untouched(bench: Bench, model: AdaptedModel) -> None:
    """Every tensor of the backbone that is not stored is unchanged."""
    leaked = changed_tensors(model, bench.backbone, bench.method)
    if leaked:
        raise Fault(f"training changed {leaked[0]} of the backbone without storing it")


def gradients_reach_what_trains(bench: Bench, model: AdaptedModel) -> None:
    """Exactly what requires a gradient receives one, and moves."""
    declared = {name for name, p in model.named_parameters() if p.requires_grad}
    missed = sorted(declared - bench.reached)
    if missed:
        raise Fault(f"{missed[0]} requires a gradient and never received one other than zero")
    kept = sorted(declared - bench.moved)
    if kept:
        raise Fault(f"training never changes {kept[0]}: is it in a parameter group and a phase?")
    hidden = sorted(bench.moved - declared)
    if hidden:
        raise Fault(f"{hidden[0]} requires no gradient, and training changes it")


def only_steps_move_parameters(bench: Bench, model: AdaptedModel) -> None:
    """The terms that a method adds to the loss change no parameter themselves."""
    bench.train(bench.served, method=cast(Method, _Watched(bench.method)))


def same_seed_same_delta(bench: Bench, model: AdaptedModel) -> None:
    """Training again with the same seed gives the same file, however often it is evaluated."""
    first = bench.save(model, "first").read_bytes()

    def again(watch: Callable[[AdaptedModel], None] | None = None) -> bytes:
        random.seed(time.perf_counter_ns())
        np.random.seed(time.perf_counter_ns() % 2**32)
        torch.manual_seed(time.perf_counter_ns())
        return bench.save(bench.train(bench.served, watch=watch), "again").read_bytes()

    def evaluate(trained: AdaptedModel) -> None:
        state, mode = torch.get_rng_state(), trained.training
        for task in bench.served:
            predictions(trained, bench.data[task.name].validation)
        trained.train(mode)
        torch.set_rng_state(state)

    if first != again(evaluate):
        if first != again():
            raise Fault("trained twice with the same seed, the saved deltas differ")
        raise Fault("what is learned depends on how often the model was evaluated")


def follows_the_seed(bench: Bench, model: AdaptedModel) -> None:
    """Another seed gives another model."""
    drawn, heads = [], []
    for seed in (SEED, SEED + 1):
        own = bench.adapt(bench.served, seed)
        drawn.append(float(torch.rand(())))
        if isinstance(own, HeadedModel):
            heads.append(next(own.heads.parameters()))
    if drawn[0] == drawn[1]:
        raise Fault("adapt() seeds torch itself: every seed would give the same model")
    if heads and torch.equal(*heads):
        raise Fault("new heads are the same for every seed")


def keeps_nothing_but_its_file(bench: Bench, model: AdaptedModel) -> None:
    """Another training, at other learning rates, gives another file, and the first file still
    answers as before."""
    path = bench.save(model, "kept")
    before = [outputs(model, bench.batch(task)) for task in bench.served]
    rate = bench.recipe.learning_rate
    slower = {"learning_rate": rate / 3}
    if bench.recipe.head_learning_rate is not None:
        slower["head_learning_rate"] = bench.recipe.head_learning_rate / 3
    other = bench.train(bench.served, recipe=bench.recipe.model_copy(update=slower))
    restored = bench.restore(path, bench.served)
    for task, expected in zip(bench.served, before, strict=True):
        if not torch.equal(expected, outputs(restored, bench.batch(task))):
            raise Fault(
                f"once {task.name} was trained again, the earlier file acts differently: "
                "something that matters is kept outside the model"
            )
    pairs = zip(model.named_parameters(), other.parameters(), strict=True)
    same = [
        torch.equal(ours, its)
        for (name, ours), its in pairs
        if ours.requires_grad and not name.startswith("heads.")
    ]
    if same and all(same):
        raise Fault("a third of the learning rate changes nothing: a search would try one rate")


def tasks_are_isolated(bench: Bench, model: AdaptedModel) -> None:
    """What belongs to one task changes nothing about another."""
    first, second = bench.tasks
    batch = bench.batch(first)
    if bench.entry.regime == "joint":
        before = outputs(model, batch)
        own = [
            tensor.data
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
            if f".by_task.{second.name}." in name and tensor.is_floating_point()
        ]
        kept = [tensor.clone() for tensor in own]
        # Noise instead of a constant, which a softmax or a norm would cancel up to rounding.
        generator = torch.Generator().manual_seed(0)
        for tensor in own:
            tensor.add_(torch.randn(tensor.shape, generator=generator))
        after = outputs(model, batch)
        for tensor, value in zip(own, kept, strict=True):
            tensor.copy_(value)
        if not torch.equal(before, after):
            raise Fault(
                f"changing what belongs to {second.name} changes the output of {first.name}"
            )
        return
    path = bench.save(model, "isolated")
    before = outputs(model, batch)
    bench.train([second])
    if not torch.equal(before, outputs(bench.restore(path, [first]), batch)):
        raise Fault(
            f"after training {second.name}, the stored delta of {first.name} acts differently"
        )
    if not torch.equal(before, outputs(model, batch)):
        raise Fault(f"training {second.name} changed the model of {first.name}")
    if path.read_bytes() != bench.save(bench.train([first]), "after").read_bytes():
        raise Fault(
            f"what is learned for {first.name} depends on whether {second.name} was trained before"
        )


def names_do_not_matter(bench: Bench, model: AdaptedModel) -> None:
    """A task under another name gets the same model and the same learning rates."""
    renamed = [task.model_copy(update={"name": f"{task.name}_too"}) for task in bench.served]
    found = []
    for tasks in (bench.served, renamed):
        own = bench.adapt(tasks)
        parameters = ParameterSet(p for p in own.parameters() if p.requires_grad)
        groups = bench.method.parameter_groups(own, parameters, bench.recipe)
        found.append(([_settings(group) for group in groups], [*own.state_dict().values()]))
    (rates, tensors), (other_rates, other_tensors) = found
    if rates != other_rates or not all(map(torch.equal, tensors, other_tensors)):
        raise Fault("a task under another name gets another model or other learning rates")


def _settings(group: ParameterGroup) -> tuple[object, ...]:
    return group.learning_rate, group.weight_decay, [p.shape for p in group.parameters]


class _Watched:
    """A method whose terms of the loss may change no parameter."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def __getattr__(self, name: str) -> object:
        return getattr(self.method, name)

    def penalty(self, model: AdaptedModel, progress: float) -> Tensor | None:
        """The method's own."""
        return _watched(model, self.method.penalty, model, progress)

    def phases(self, model: AdaptedModel) -> Sequence[Phase]:
        """The method's own."""
        return [
            dataclasses.replace(
                phase,
                penalty=phase.penalty and functools.partial(_watched, model, phase.penalty),
            )
            for phase in self.method.phases(model)
        ]


def _watched(model: AdaptedModel, term: Callable[..., T], *arguments: object) -> T:
    before = [parameter.detach().clone() for parameter in model.parameters()]
    value = term(*arguments)
    for (name, parameter), old in zip(model.named_parameters(), before, strict=True):
        if not torch.equal(parameter, old):
            raise Fault(f"a penalty changes {name}: only the optimizer's steps may")
    return value
