import pytest
import torch
from arena_training import SETTINGS, STEPS, train_arena
from comparison import faulty
from small_changes import COUNT, SIZES, answer
from straight_through import network, train_straight_through

from suite.nn.kernels import arena_torch


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


@pytest.mark.parametrize("size", SIZES)
def test_weights_in_bfloat16_answer_to_small_changes(size):
    assert answer(size, arena_torch.TorchKernels) == pytest.approx(1, abs=0.02)


def test_weights_that_are_rounded_before_the_change_do_not():
    """What the test above must find: by 5e-5, three times less than they should."""
    generator = torch.Generator().manual_seed(0)
    weight = (0.05 * torch.randn(COUNT, generator=generator)).bfloat16()
    change = 5e-5
    moved = (weight.float() + change).bfloat16().double() - weight.double()
    assert float(moved.mean()) / change < 0.4
