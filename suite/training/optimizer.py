"""Optimizers and learning-rate schedules of a recipe."""

import math
from collections.abc import Sequence

import torch

from suite.method import ParameterGroup
from suite.registry.schema import Recipe


class Optimizer:
    """A torch optimizer whose groups share one schedule over their own base rates."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner
        self.base_rates = [group["lr"] for group in inner.param_groups]
        self.step = inner.step
        self.zero_grad = inner.zero_grad

    def set_rate(self, factor: float) -> None:
        """Set every group's rate to `factor` times its base rate."""
        for group, rate in zip(self.inner.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor


def make_optimizer(groups: Sequence[ParameterGroup], recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over the non-empty groups, in torch's fused form."""
    settings = [
        {
            "params": list(group.parameters),
            "lr": group.learning_rate,
            "weight_decay": group.weight_decay,
        }
        for group in groups
        if group.parameters
    ]
    if recipe.optimizer == "sgd":
        return Optimizer(torch.optim.SGD(settings, momentum=recipe.momentum, fused=True))
    return Optimizer(torch.optim.AdamW(settings, fused=True))


def rate_factor(recipe: Recipe, step: int, steps: int) -> float:
    """Learning-rate factor of optimizer step `step` (from 1) of `steps`: linear warm-up over the
    share `recipe.warmup`, then constant, linear to zero or cosine to zero."""
    warmup = round(recipe.warmup * steps)
    if step <= warmup:
        return step / warmup
    if recipe.schedule == "constant":
        return 1.0
    left = (steps - step + 1) / (steps - warmup)
    return left if recipe.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
