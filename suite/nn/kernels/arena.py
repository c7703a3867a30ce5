"""Gated weights in one arena: TAPS as an optimizer of the merged weights.

Every gated layer computes with its merged weights W = W0 + g D, g = 1[s >= threshold], where s is
the gate score and D the weight change. Computed that way in every forward pass, TAPS would add a
product, a sum and their derivatives to each layer of each step. But both derivatives follow from
G = dL/dW alone:

    dL/dD = g G                 what autograd gives for a sum
    dL/ds = dL/dg = <G, D>      the step passes the gradient straight through to s

So the merged weights are leaves of autograd's graph, which costs what full fine-tuning costs. Once
G is known, a few operations over all layers at once compute both gradients, take the optimizer's
step with them and write the merged weights of the next step. W0, D and s are outside of the graph.
The penalty lambda * mean |s| needs no graph either: its gradient is lambda / L * sign(s).

The equations are those of Wallingford et al., "Task Adaptive Parameter Sharing for Multi-Task
Learning", CVPR 2022, arXiv 2203.16708, section 3.
"""

from collections.abc import Mapping, Sequence
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
    """How gate scores and weight changes step: the part that is the same for all steps."""

    optimizer: Literal["adamw", "sgd"]
    momentum: float
    weight_decay: float
    """Of the weight changes; gate scores have none."""
    clip_norm: float | None
    threshold: float


@dataclass(frozen=True)
class Rates:
    """What one step uses: two learning rates, and the penalty's gradient on a positive score."""

    change: float
    gate_score: float
    penalty: float


BLOCK = 2048
"""Elements that one program of a kernel processes; layers are padded to multiples of it."""


class Arena:
    """The state of L gated layers in flat buffers.

    `weights` are the frozen W0, of any shape and dense memory order. `changes[i]`, `leaves[i]` and
    `gate_scores[i]` are views of the buffers, the first two in the shape and order of `weights[i]`;
    each layer starts at a multiple of `BLOCK` elements. Leaves have the type `working`: the
    network computes with them, and a step reads their gradients. Changes and moments have that of
    the gate scores, and W0 stays as it is, without a copy: W0 + D is rounded once. If W0 were
    rounded first, most changes below half of a bfloat16's spacing would have no effect at all;
    as it is, W0's lower digits decide which weights answer, and the mean answer is the change. In
    a `locked` arena gate scores stay as they are.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        changes: Sequence[Tensor],
        gate_scores: Tensor,
        rule: Rule,
        *,
        working: torch.dtype,
        locked: bool = False,
    ) -> None:
        self.rule = rule
        self.locked = locked
        self.steps = 0
        self.weights = [weight.detach() for weight in weights]
        blocks = [-(-weight.numel() // BLOCK) for weight in weights]
        self.starts = [0, *accumulate(count * BLOCK for count in blocks)]
        self.change = gate_scores.new_zeros(self.starts[-1])
        self.momentum = torch.zeros_like(self.change)
        self.variance = torch.zeros_like(self.change) if rule.optimizer == "adamw" else None
        self.merged = torch.zeros_like(self.change, dtype=working)
        self.gate_score = gate_scores.detach().clone()
        self.gate_score_momentum = torch.zeros_like(self.gate_score)
        self.gate_score_variance = torch.zeros_like(self.gate_score)
        self.gate_scores = list(self.gate_score.unbind())
        self.changes = self.views(self.change)
        for view, change in zip(self.changes, changes, strict=True):
            view.copy_(change.detach())
        # `detach` makes a leaf, whose gradient autograd keeps, on the memory that a step writes.
        self.leaves = [view.detach().requires_grad_() for view in self.views(self.merged)]

    def locked_to(self, layers: Sequence[int]) -> "Arena":
        """A new arena of some of the layers, with their state and with locked gates."""
        arena = Arena(
            [self.weights[layer] for layer in layers],
            [self.changes[layer] for layer in layers],
            self.gate_score[list(layers)],
            self.rule,
            working=self.merged.dtype,
            locked=True,
        )
        arena.steps = self.steps
        for mine, other in ((self.momentum, arena.momentum), (self.variance, arena.variance)):
            if mine is None or other is None:
                continue
            # By views: a layer starts at another place in the smaller buffers.
            own = self.views(mine)
            for layer, view in zip(layers, arena.views(other), strict=True):
                view.copy_(own[layer])
        return arena

    def state(self) -> dict[str, Tensor]:
        """All that decides the steps to come, by name; the buffers are the arena's own."""
        buffers = {
            "change": self.change,
            "momentum": self.momentum,
            "gate_score": self.gate_score,
            "gate_score_momentum": self.gate_score_momentum,
            "gate_score_variance": self.gate_score_variance,
            "steps": torch.tensor(self.steps),
        }
        return buffers if self.variance is None else buffers | {"variance": self.variance}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `state` of another arena of the same layers; kernels must be made anew."""
        for name, buffer in self.state().items():
            buffer.copy_(state[name])
        self.steps = int(state["steps"])

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
            # Kernels go through the buffers element by element, so that orders must agree.
            elif gradient.stride() != leaf.stride():
                gradient = torch.empty_like(leaf).copy_(gradient)
            found.append(gradient)
        return found

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for leaf in self.leaves:
            leaf.grad = None


class ArenaKernels(Protocol):
    """What steps an arena on one kind of device. A step is `prepare`, then `launch`."""

    on_device: bool
    """Whether `launch` reads tensors on the device alone, so that a CUDA graph can replay it."""

    def merge(self) -> None:
        """Write the merged weights of all layers from W0, changes and gate scores."""

    def prepare(self, rates: Rates) -> None:
        """Count a step, and hand its rates to the device."""

    def launch(self, other_norm: Tensor | None) -> Tensor | None:
        """The step of all gate scores and changes, and the merged weights that follow from it.

        Under a rule that clips, `other_norm` is the norm of all gradients that are not the
        arena's, and the factor that clipping applies to every gradient is returned, both [].
        """

    def step(self, rates: Rates, other_norm: Tensor | None) -> Tensor | None:
        """Both at once."""


def in_memory_order(tensor: Tensor) -> Tensor:
    """The elements of a dense tensor as they lie in memory [N], without a copy."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.as_strided((tensor.numel(),), (1,))
