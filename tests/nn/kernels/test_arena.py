import pytest
import torch
import torch.nn.functional as F
from comparison import faulty
from straight_through import (
    THRESHOLD,
    Setting,
    Trace,
    base_weights,
    batches,
    network,
    train_straight_through,
)
from torch import nn

from suite.nn.kernels import arena_torch
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


@pytest.mark.parametrize("name", SETTINGS)
def test_an_arena_trains_as_the_equations_say(name):
    expected = train_straight_through(SETTINGS[name], STEPS)
    actual = train_arena(SETTINGS[name])
    assert expected.flips >= 10
    assert not actual.differs(expected)
    assert actual.losses == pytest.approx(expected.losses, rel=1e-5)


FAULTS = {
    "half the penalty": (
        "sgd",
        "gate_score.sign(), rates.penalty",
        "gate_score.sign(), 0.5 * rates.penalty",
    ),
    "closed layers change": ("adamw", "if is_open[piece.layer] else piece.zero", ""),
    "closed layers are merged": ("sgd, clipped", "        if is_open:", "        if True:"),
    "moved gates are forgotten": ("sgd", "if before == self.is_open:", "if True:"),
    "the new gate gates the gradient": (
        "adamw, clipped",
        "self._step_changes(tile, gradients, before, rates, scale)",
        "self._step_changes(tile, gradients, self.is_open, rates, scale)",
    ),
    "changes are not clipped": ("sgd, clipped", "before, rates, scale", "before, rates, None"),
    "gate scores do not count in the norm": (
        "sgd, clipped",
        "+ gate_score_gradient.square().sum()",
        "",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, tmp_path):
    name, right, wrong = FAULTS[fault]
    kernels = faulty(arena_torch, (right, wrong), tmp_path)
    expected = train_straight_through(SETTINGS[name], STEPS)
    assert train_arena(SETTINGS[name], kernels_of=kernels.TorchKernels).differs(expected)


def test_large_layers_are_processed_in_parts(tmp_path):
    """Most layers of the network are larger than these tiles, none a multiple of one."""
    kernels = faulty(arena_torch, ("TILE = 524_288", "TILE = 50"), tmp_path)
    for name in ("sgd", "adamw, clipped"):
        expected = train_straight_through(SETTINGS[name], STEPS)
        actual = train_arena(SETTINGS[name], kernels_of=kernels.TorchKernels)
        assert not actual.differs(expected)


def test_layers_may_lie_in_channels_last_order():
    setting = SETTINGS["adamw, clipped"]
    expected = train_straight_through(setting, STEPS)
    actual = train_arena(setting, memory_format=torch.channels_last)
    assert actual.changes[0].is_contiguous(memory_format=torch.channels_last)
    assert not actual.differs(expected)


def test_a_compiled_network_sees_every_step():
    setting = SETTINGS["sgd"]
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert not train_arena(setting, forward=compiled).differs(train_arena(setting))
