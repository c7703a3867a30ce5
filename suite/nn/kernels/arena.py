"""Gated weights in one arena: TAPS as an optimizer of the merged weights.

Every gated layer computes with a leaf that holds its merged weights W0 + 1[s >= threshold] * delta.
After the backward pass a few operations over all layers at once turn the leaves' gradients G into
those of TAPS, <G, delta> for a score and 1[s >= threshold] * G for a change, take the optimizer's
step with them and write the merged weights of the next step. Nothing is added to the forward and
backward pass, and no layer needs a derivative of its own.

The equations are those of Wallingford et al., "Task Adaptive Parameter Sharing for Multi-Task
Learning", CVPR 2022, arXiv 2203.16708, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8
"""AdamW's constants, torch's defaults."""


@dataclass(frozen=True)
class Rule:
    """How scores and changes step: what stays the same from step to step."""

    optimizer: Literal["adamw", "sgd"]
    momentum: float
    weight_decay: float
    """Of the changes; scores have none."""
    clip_norm: float | None
    threshold: float


@dataclass(frozen=True)
class Rates:
    """What one step uses: two learning rates, and the penalty's gradient on a positive score."""

    change: float
    score: float
    penalty: float


BLOCK = 2048
"""Elements to whose multiples a layer is padded: what one program of a kernel works off."""


class Arena:
    """The state of L gated layers in flat buffers.

    `weights` are the frozen W0, of any shape and dense memory order. `deltas[i]`, `leaves[i]` and
    `scores[i]` are views of the buffers, the first two in the shape and order of `weights[i]`;
    each layer starts at a multiple of `BLOCK` elements. Leaves have the type `working`: the
    network computes with them, and their gradients are what a step reads. W0 is kept in that type
    too, changes and moments in that of the scores. In a `locked` arena the scores stay as they
    are.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        deltas: Sequence[Tensor],
        scores: Tensor,
        rule: Rule,
        *,
        working: torch.dtype,
        locked: bool = False,
    ) -> None:
        self.rule = rule
        self.locked = locked
        self.steps = 0
        self.weights = [weight.detach().to(working) for weight in weights]
        blocks = [-(-weight.numel() // BLOCK) for weight in weights]
        self.starts = [0, *accumulate(count * BLOCK for count in blocks)]
        self.delta = scores.new_zeros(self.starts[-1])
        self.momentum = torch.zeros_like(self.delta)
        self.variance = torch.zeros_like(self.delta) if rule.optimizer == "adamw" else None
        self.merged = torch.zeros_like(self.delta, dtype=working)
        self.score = scores.detach().clone()
        self.score_momentum = torch.zeros_like(self.score)
        self.score_variance = torch.zeros_like(self.score)
        self.scores = list(self.score.unbind())
        self.deltas = self.views(self.delta)
        for view, delta in zip(self.deltas, deltas, strict=True):
            view.copy_(delta.detach())
        self.leaves = [view.detach().requires_grad_() for view in self.views(self.merged)]

    def locked_to(self, layers: Sequence[int]) -> "Arena":
        """An arena of some of the layers that goes on from their state, their gates locked."""
        arena = Arena(
            [self.weights[layer] for layer in layers],
            [self.deltas[layer] for layer in layers],
            self.score[list(layers)],
            self.rule,
            working=self.merged.dtype,
            locked=True,
        )
        arena.steps = self.steps
        for mine, other in ((self.momentum, arena.momentum), (self.variance, arena.variance)):
            if mine is None or other is None:
                continue
            own = self.views(mine)
            for layer, view in zip(layers, arena.views(other), strict=True):
                view.copy_(own[layer])
        return arena

    def views(self, flat: Tensor) -> list[Tensor]:
        """Every layer's part of a flat buffer, in the shape and memory order of its weight."""
        return [
            flat.as_strided(weight.shape, weight.stride(), start)
            for weight, start in zip(self.weights, self.starts[:-1], strict=True)
        ]

    def gradients(self) -> list[Tensor]:
        """Every leaf's gradient in the memory order of its weight; zeros where none arrived."""
        found = []
        for leaf in self.leaves:
            gradient = leaf.grad
            if gradient is None:
                gradient = torch.zeros_like(leaf)
            elif gradient.stride() != leaf.stride():
                gradient = torch.empty_like(leaf).copy_(gradient)
            found.append(gradient)
        return found

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for leaf in self.leaves:
            leaf.grad = None


class ArenaKernels(Protocol):
    """What steps an arena on one kind of device."""

    def merge(self) -> None:
        """Write the merged weights of all layers from W0, changes and scores."""

    def step(self, rates: Rates, other_norm: Tensor | None) -> Tensor | None:
        """One step of all scores and changes, and the merged weights that follow from it.

        Under a rule that clips, `other_norm` is the norm of all gradients that are not the
        arena's, and the factor that clipping applies to every gradient is returned, both [].
        """


def in_memory_order(tensor: Tensor) -> Tensor:
    """The elements of a dense tensor as they lie in memory [N], without a copy."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.as_strided((tensor.numel(),), (1,))
