"""TAPS as its equations say, and networks to train with it: what the arena must reproduce.

Wallingford et al., CVPR 2022, section 3: W = W0 + 1[s >= threshold] * D in every forward pass,
the step passing its gradient straight through, and mean |s| in the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

THRESHOLD = 0.1


class Step(torch.autograd.Function):
    """1[s >= threshold], and the identity for gradients."""

    @staticmethod
    def forward(ctx, score):
        return (score >= THRESHOLD).to(score.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def network(x: Tensor, weights: Sequence[Tensor], norm: Tensor) -> Tensor:
    """Three convolutions, one of them grouped, and two linear layers: [B, 3, 8, 8] -> [B, 5]."""
    x = F.relu(F.conv2d(x, weights[0], padding=1) * norm[:, None, None])
    x = F.relu(F.conv2d(x, weights[1], padding=1, groups=2) + x)
    x = F.relu(F.conv2d(x, weights[2])).mean((2, 3))
    return F.linear(F.relu(F.linear(x, weights[3])), weights[4])


SHAPES = ((8, 3, 3, 3), (8, 4, 3, 3), (18, 8, 1, 1), (11, 18), (5, 11))


def base_weights(memory_format: torch.memory_format = torch.contiguous_format) -> list[Tensor]:
    """Frozen weights of the network, the same at every call."""
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(shape, generator=generator) * shape[1:].numel() ** -0.5
        for shape in map(torch.Size, SHAPES)
    ]
    return [w.to(memory_format=memory_format) if w.dim() == 4 else w for w in weights]


def batches(steps: int) -> list[tuple[Tensor, Tensor]]:
    """Random images whose class is random too: gradients stay large."""
    generator = torch.Generator().manual_seed(2)
    return [
        (
            torch.randn(12, 3, 8, 8, generator=generator),
            torch.randint(0, 5, (12,), generator=generator),
        )
        for _ in range(steps)
    ]


@dataclass(frozen=True)
class Setting:
    """One way to train."""

    optimizer: str = "sgd"
    clip_norm: float | None = None
    accumulate: int = 1
    weight_decay: float = 0.0
    rate: float = 0.1
    gate_score_rate: float = 0.3
    penalty: float = 0.1
    momentum: float = 0.9

    def make(self, groups: Sequence[dict]) -> torch.optim.Optimizer:
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, momentum=self.momentum)
        return torch.optim.AdamW(groups)


@dataclass
class Trace:
    """What training did, step by step."""

    gates: list[list[bool]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    changes: Sequence[Tensor] = ()
    gate_scores: Tensor = field(default_factory=lambda: torch.zeros(0))
    norm: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def flips(self) -> int:
        pairs = zip(self.gates, self.gates[1:], strict=False)
        return sum(a != b for old, new in pairs for a, b in zip(old, new, strict=True))

    def differs(self, other: "Trace") -> bool:
        """Whether gates differ at any step, or what was trained differs beyond rounding."""
        return (
            self.gates != other.gates
            or not torch.allclose(self.gate_scores, other.gate_scores, rtol=1e-4, atol=1e-6)
            or not torch.allclose(self.norm, other.norm, rtol=1e-4, atol=1e-6)
            or any(
                (mine - its).norm() > 1e-4 * its.norm()
                for mine, its in zip(self.changes, other.changes, strict=True)
            )
        )


def train_straight_through(setting: Setting, steps: int) -> Trace:
    """Autograd and torch's optimizers do everything."""
    weights = base_weights()
    changes = [nn.Parameter(torch.zeros_like(weight)) for weight in weights]
    score = nn.Parameter(torch.full((len(weights),), 0.15))
    norm = nn.Parameter(torch.ones(8))
    optimizer = setting.make(
        [
            {"params": [*changes, norm], "lr": setting.rate, "weight_decay": setting.weight_decay},
            {"params": [score], "lr": setting.gate_score_rate, "weight_decay": 0.0},
        ]
    )
    trace = Trace()
    data = batches(steps * setting.accumulate)
    for step in range(steps):
        for x, target in data[step * setting.accumulate :][: setting.accumulate]:
            gate = Step.apply(score)
            merged = [
                w + gate[i] * d for i, (w, d) in enumerate(zip(weights, changes, strict=True))
            ]
            loss = F.cross_entropy(network(x, merged, norm), target) / setting.accumulate
            loss.backward()
        (setting.penalty * score.abs().mean()).backward()
        if setting.clip_norm is not None:
            nn.utils.clip_grad_norm_([*changes, score, norm], setting.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        trace.losses.append(loss.item())
        trace.gates.append((score >= THRESHOLD).tolist())
    trace.changes, trace.gate_scores, trace.norm = (
        [d.detach() for d in changes],
        score.detach(),
        norm,
    )
    return trace
