"""The arena's step as a few operations of PyTorch over flat buffers, to hold Triton against."""

import torch
from torch import Tensor

from suite.nn.kernels.arena import BETAS, BLOCK, EPSILON, Arena, Rates


class FlatArena:
    """AdamW without clipping on an arena's buffers; gates are read on the device."""

    def __init__(self, arena: Arena, rates: Rates, compiled: bool) -> None:
        self.arena, self.rates = arena, rates
        device = arena.gate_score.device
        first = torch.tensor(arena.starts) // BLOCK
        layers = torch.arange(len(arena.weights))
        self.layer_of = torch.repeat_interleave(layers, first.diff()).to(device)
        self.weights = torch.zeros_like(arena.change)
        for own, weight in zip(arena.views(self.weights), arena.weights, strict=True):
            own.copy_(weight)
        self.gradients = torch.zeros_like(arena.merged)
        self.views = arena.views(self.gradients)
        self.steps = torch.zeros((), device=device)
        self.update = torch.compile(self._update) if compiled else self._update
        arena.merged.copy_(arena.change + self.weights)

    def step(self, rates: Rates, other_norm: None) -> None:
        """As `launch`: the rates are those of the beginning."""
        self.launch(other_norm)

    @torch.no_grad()
    def launch(self, other_norm: None) -> None:
        """One step from the leaves' gradients."""
        torch._foreach_copy_(self.views, [leaf.grad for leaf in self.arena.leaves])
        self.steps += 1
        self.update()

    def _update(self) -> None:
        arena, rates, rule = self.arena, self.rates, self.arena.rule
        g = self.gradients.view(-1, BLOCK).float()
        d, m, v = (
            buffer.view(-1, BLOCK) for buffer in (arena.change, arena.momentum, variance(arena))
        )
        was_open = arena.gate_score >= rule.threshold
        parts = (g * d).sum(1)
        ds = torch.zeros_like(arena.gate_score).index_add_(0, self.layer_of, parts)
        ds += rates.penalty * arena.gate_score.sign()
        first, second = 1 - BETAS[0] ** self.steps, 1 - BETAS[1] ** self.steps
        arena.gate_score_momentum.lerp_(ds, 1 - BETAS[0])
        arena.gate_score_variance.mul_(BETAS[1]).addcmul_(ds, ds, value=1 - BETAS[1])
        root = (arena.gate_score_variance / second).sqrt() + EPSILON
        arena.gate_score.sub_(rates.gate_score / first * arena.gate_score_momentum / root)
        g = torch.where(was_open[self.layer_of].unsqueeze(1), g, 0.0)
        m.lerp_(g, 1 - BETAS[0])
        v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
        d.mul_(1 - rates.change * rule.weight_decay)
        d.sub_(rates.change / first * m / ((v / second).sqrt() + EPSILON))
        is_open = (arena.gate_score >= rule.threshold)[self.layer_of].unsqueeze(1)
        merged = self.weights.view(-1, BLOCK) + torch.where(is_open, d, 0.0)
        arena.merged.view(-1, BLOCK).copy_(merged)


def variance(arena: Arena) -> Tensor:
    """The second moments, which AdamW has."""
    assert arena.variance is not None
    return arena.variance
