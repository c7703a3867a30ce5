"""Optimizers and learning-rate schedules of a recipe."""

import math

import torch
from torch import nn

from suite.method import Method, ParameterSet, Stepper
from suite.method.model import AdaptedModel
from suite.registry.schema import Recipe


class Optimizer:
    """The recipe's optimizer, beside the method's stepper if it has one, under one schedule and
    one clipping of the gradients of all `parameters`.

    A step has three parts: `prepare` and `settle` on the host, and `apply` on the device, which a
    CUDA graph can replay: rates are tensors there.
    """

    def __init__(
        self,
        inner: torch.optim.Optimizer,
        parameters: ParameterSet,
        clip_norm: float | None,
        stepper: Stepper | None,
    ) -> None:
        self.inner = inner
        self.base_rates = [float(group["lr"]) for group in inner.param_groups]
        self.parameters = parameters
        self.clip_norm = clip_norm
        self.stepper = stepper

    def step(self, factor: float, progress: float) -> None:
        """All parts of a step, whose gradients are there."""
        self.prepare(factor, progress)
        self.apply()
        self.settle()

    def prepare(self, factor: float, progress: float) -> None:
        """Hand the device what it needs for a step at `factor` times the base rates; `progress`
        runs from 0 to 1 within a phase."""
        for group, rate in zip(self.inner.param_groups, self.base_rates, strict=True):
            group["lr"].fill_(rate * factor)
        if self.stepper is not None:
            self.stepper.prepare(factor, progress)

    def apply(self) -> None:
        """Clip, step and drop the gradients."""
        if self.stepper is not None:
            self._step_both(self.stepper)
        elif self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.inner.step()
        self.inner.zero_grad()

    def settle(self) -> bool:
        """What may follow a step; whether it gave up or moved tensors of the model."""
        return self.stepper is not None and self.stepper.settle()

    def _step_both(self, stepper: Stepper) -> None:
        # The norm to clip is that of all gradients, but the stepper holds some of them and the
        # optimizer the others: the stepper adds its own and gives back the common factor.
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = None if self.clip_norm is None else nn.utils.get_total_norm(gradients)
        coefficient = stepper.step(norm)
        if coefficient is not None:
            torch._foreach_mul_(gradients, coefficient)


def make_optimizer(
    method: Method, model: AdaptedModel, parameters: ParameterSet, recipe: Recipe
) -> Optimizer:
    """The optimizer of `parameters`: the method's stepper, if it has one, and for all others the
    recipe's optimizer, in torch's fused form, over the method's non-empty groups."""
    stepper = method.stepper(model, parameters, recipe)
    others = parameters - stepper.parameters if stepper else parameters
    device = next(iter(parameters)).device
    settings = [
        {
            "params": list(group.parameters),
            "lr": _rate(group.learning_rate, device),
            "weight_decay": group.weight_decay,
        }
        for group in method.parameter_groups(model, others, recipe)
        if group.parameters
    ]
    inner: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        inner = torch.optim.SGD(settings, momentum=recipe.momentum, fused=True)
        if recipe.momentum:
            _start_momentum(inner)
    else:
        inner = torch.optim.AdamW(settings, fused=True, capturable=device.type == "cuda")
        # Torch warns of steps without a graph, which those before a capture are.
        inner._warned_capturable_if_run_uncaptured = True
    return Optimizer(inner, others, recipe.clip_norm, stepper)


def _rate(rate: float, device: torch.device) -> torch.Tensor:
    """A learning rate that torch's fused optimizers read where they step: on the CPU as they would
    read a number, on a GPU as a number of float32."""
    kind = torch.float64 if device.type == "cpu" else torch.float32
    return torch.tensor(rate, dtype=kind, device=device)


def _start_momentum(inner: torch.optim.SGD) -> None:
    """Start every momentum at zero, which gives the same steps as starting at the first gradient.

    What belongs to one task of a joint method has no gradient until that task is drawn, and torch's
    fused form does not take a step in which some momentums exist and others do not.
    """
    for group in inner.param_groups:
        for parameter in group["params"]:
            inner.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def rate_factor(recipe: Recipe, step: int, steps: int) -> float:
    """Learning-rate factor of optimizer step `step` (from 1) of `steps`: linear warm-up over the
    share `recipe.warmup`, then constant, linear to zero or cosine to zero."""
    warmup = round(recipe.warmup * steps)
    if step <= warmup:
        return step / warmup
    if recipe.schedule == "constant":
        return 1.0
    # The first step after the warm-up has the full rate, and the last one still moves.
    left = (steps - step + 1) / (steps - warmup)
    return left if recipe.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
