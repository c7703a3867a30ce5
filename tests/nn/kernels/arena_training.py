"""Training through an arena, to be held against training as the equations say."""

import torch
import torch.nn.functional as F
from straight_through import THRESHOLD, Setting, Trace, base_weights, batches, network
from torch import nn

from suite.nn.kernels.arena import Arena, Rates, Rule
from suite.nn.kernels.arena_torch import TorchKernels

STEPS = 50
SETTINGS = {
    "sgd": Setting(),
    "sgd, clipped": Setting(clip_norm=0.4),
    "sgd, accumulated, weight decay": Setting(accumulate=2, weight_decay=0.01, penalty=0.5),
    "adamw": Setting("adamw", rate=0.01, gate_score_rate=0.1),
    "adamw, clipped": Setting("adamw", clip_norm=0.3, rate=0.01, gate_score_rate=0.1),
    "adamw, accumulated, weight decay, clipped": Setting(
        "adamw", 0.3, accumulate=3, weight_decay=0.05, rate=0.01, gate_score_rate=0.1
    ),
}


def make_arena(setting, memory_format=torch.contiguous_format):
    weights = base_weights(memory_format)
    rule = Rule(
        setting.optimizer, setting.momentum, setting.weight_decay, setting.clip_norm, THRESHOLD
    )
    zeros = [torch.zeros_like(weight) for weight in weights]
    gate_scores = torch.full((len(weights),), 0.15)
    return Arena(weights, zeros, gate_scores, rule, working=torch.float32)


def train_arena(
    setting,
    steps=STEPS,
    kernels_of=TorchKernels,
    memory_format=torch.contiguous_format,
    forward=network,
):
    """The same training as `train_straight_through`, the gated layers through an arena."""
    arena = make_arena(setting, memory_format)
    kernels = kernels_of(arena)
    norm = nn.Parameter(torch.ones(8))
    optimizer = setting.make(
        [{"params": [norm], "lr": setting.rate, "weight_decay": setting.weight_decay}]
    )
    rates = Rates(setting.rate, setting.gate_score_rate, setting.penalty / len(arena.weights))
    trace = Trace()
    data = batches(steps * setting.accumulate)
    for step in range(steps):
        for x, target in data[step * setting.accumulate :][: setting.accumulate]:
            loss = F.cross_entropy(forward(x, arena.leaves, norm), target) / setting.accumulate
            loss.backward()
        clipped = setting.clip_norm is not None
        coefficient = kernels.step(rates, norm.grad.norm() if clipped else None)
        if coefficient is not None:
            norm.grad.mul_(coefficient)
        arena.zero_grad()
        optimizer.step()
        optimizer.zero_grad()
        trace.losses.append(loss.item())
        trace.gates.append((arena.gate_score >= THRESHOLD).tolist())
    trace.changes, trace.gate_scores, trace.norm = arena.changes, arena.gate_score, norm
    return trace
