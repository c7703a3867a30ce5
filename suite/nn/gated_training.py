"""Trains gates and changes through an arena, beside the optimizer of all other parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from suite.backbones.parameters import ParameterSet
from suite.nn.gated import GatedConv2d, GatedLinear, GatedResidual
from suite.nn.kernels.arena import Arena, ArenaKernels, Rates, Rule
from suite.nn.kernels.arena_torch import TorchKernels
from suite.registry.schema import Recipe


@dataclass(frozen=True)
class GateTraining:
    """What a method asks of the training of its gates."""

    penalty: float
    """lambda: the loss is that of the task and lambda * mean |s|."""
    warmup: float
    """Share of the training before the penalty sets in."""
    score_rate: float
    """Learning rate of the scores."""
    lock_after: float = 1.0
    """Share of the training after which no gate moves; 1 is never."""


class GateStepper:
    """Steps the scores and changes of one task, while gated layers compute with merged weights.

    Until `close`, the `delta` and `score` of every residual are views of an arena and take no part
    in the network's graph. Locked gates stay as they are: closed layers then need no gradient, and
    their change and optimizer state are given up.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        gates: Sequence[GatedResidual],
        training: GateTraining,
        recipe: Recipe,
    ) -> None:
        self.weights = [weight.detach() for weight in weights]
        self.gates = list(gates)
        self.training = training
        self.recipe = recipe
        self.parameters = ParameterSet(p for gate in gates for p in (gate.delta, gate.score))
        self.rearranged = False
        device = self.weights[0].device
        arena = Arena(
            self.weights,
            [gate.delta for gate in gates],
            torch.stack([gate.score for gate in gates]),
            Rule(
                recipe.optimizer,
                recipe.momentum,
                recipe.weight_decay,
                recipe.clip_norm,
                gates[0].threshold,
            ),
            # The training loop computes in bfloat16 on a GPU and in float32 elsewhere.
            working=torch.bfloat16 if device.type == "cuda" else self.weights[0].dtype,
        )
        self._attach(arena, self.gates)

    def step(self, factor: float, progress: float, other_norm: Tensor | None) -> Tensor | None:
        """One step at `factor` times the learning rates, `progress` (0 to 1) through training.

        `other_norm` [] is the norm of all other gradients if the recipe clips them; what clipping
        multiplies every gradient with is then returned, a tensor [].
        """
        penalty = self.training.penalty if progress >= self.training.warmup else 0.0
        rates = Rates(
            change=self.recipe.learning_rate * factor,
            score=self.training.score_rate * factor,
            penalty=penalty / len(self.gates),
        )
        coefficient = self.kernels.step(rates, other_norm)
        self.arena.zero_grad()
        self.rearranged = not self.arena.locked and progress >= self.training.lock_after
        if self.rearranged:
            self.lock()
        return coefficient

    def lock(self) -> None:
        """Keep every gate where it is from now on (reads the device)."""
        is_open = [gate.is_open for gate in self.gates]
        for gate, weight, kept in zip(self.gates, self.arena.weights, is_open, strict=True):
            if not kept:
                gate.merged = weight
                gate.delta.data = gate.delta.data.new_empty(0)
                gate.score.data = gate.score.data.clone()
        arena = self.arena.locked_to([i for i, kept in enumerate(is_open) if kept])
        self._attach(arena, [gate for gate, kept in zip(self.gates, is_open, strict=True) if kept])

    def close(self) -> None:
        """Give the residuals tensors of their own, and the layers their gates."""
        for gate, weight in zip(self.gates, self.weights, strict=True):
            gate.merged = None
            gate.score.data = gate.score.data.clone()
            given_up = gate.delta.numel() != weight.numel()
            gate.delta.data = torch.zeros_like(weight) if given_up else gate.delta.data.clone()

    def _attach(self, arena: Arena, gates: Sequence[GatedResidual]) -> None:
        self.arena = arena
        self.kernels = _kernels_for(arena)
        for index, gate in enumerate(gates):
            gate.delta.data = arena.deltas[index]
            gate.score.data = arena.scores[index]
            gate.merged = arena.leaves[index]


def gate_stepper(
    model: nn.Module,
    parameters: ParameterSet,
    training: GateTraining,
    recipe: Recipe,
) -> GateStepper | None:
    """A stepper for the gates whose parameters are among those to be trained, if there are any.

    Raises ValueError if these gates belong to several tasks: an arena serves one network.
    """
    weights, gates, tasks = [], [], set()
    for layer in model.modules():
        if not isinstance(layer, GatedConv2d | GatedLinear):
            continue
        for task, gate in layer.residuals.by_task.items():
            if gate.delta in parameters:
                weights.append(layer.weight)
                gates.append(gate)
                tasks.add(task)
    if len(tasks) > 1:
        raise ValueError(f"one phase trains the gates of several tasks: {', '.join(sorted(tasks))}")
    return GateStepper(weights, gates, training, recipe) if gates else None


def _kernels_for(arena: Arena) -> ArenaKernels:
    if arena.score.device.type != "cuda":
        return TorchKernels(arena)
    from suite.nn.kernels.arena_device import TritonKernels

    return TritonKernels(arena)
