"""The arena's Triton kernels under the interpreter: single steps against float64, whole trainings
against the equations, and faults that these must not survive."""

import interpreter
import pytest
import torch
from arena_training import SETTINGS, STEPS, train_arena
from comparison import error, faulty
from small_changes import answer
from straight_through import THRESHOLD, train_straight_through

from suite.nn.kernels import arena_device, arena_triton
from suite.nn.kernels.arena import BETAS, BLOCK, EPSILON, Arena, Rates, Rule
from suite.nn.kernels.arena_device import TritonKernels

interpreter.support_bfloat16()

SHAPES = ((1,), (3, 11, 31), (BLOCK,), (2, BLOCK + 1))
"""Less than a block, odd, one block to the brim, several with a ragged end."""

GATES = {
    "all open": (0.15, 0.2, 0.3, 0.1),
    "all closed": (-1.0, 0.0, 0.05, 0.0999),
    "at the threshold": (THRESHOLD, -0.2, THRESHOLD, 0.0),
}

RATES = Rates(change=0.02, gate_score=0.03, penalty=0.05)


def make_arena(optimizer, clip_norm, gates, working, locked=False):
    """An arena in the middle of training, with gradients."""
    generator = torch.Generator().manual_seed(3)

    def draw():
        return [torch.randn(shape, generator=generator) for shape in SHAPES]

    rule = Rule(optimizer, 0.9, 0.01, clip_norm, THRESHOLD)
    gate_scores = torch.tensor(GATES[gates])
    arena = Arena(draw(), draw(), gate_scores, rule, working=working, locked=locked)
    for view, value in zip(arena.views(arena.momentum), draw(), strict=True):
        view.copy_(value)
    if arena.variance is not None:
        for view, value in zip(arena.views(arena.variance), draw(), strict=True):
            view.copy_(value.square())
    arena.gate_score_momentum.copy_(torch.randn(len(SHAPES), generator=generator))
    arena.gate_score_variance.copy_(torch.randn(len(SHAPES), generator=generator).square())
    arena.steps = 3
    for leaf, value in zip(arena.leaves, draw(), strict=True):
        leaf.grad = value.to(working)
    return arena


def optimize(rule, p, g, m, v, rate, decay, steps):
    """torch's AdamW and SGD in float64."""
    if rule.optimizer == "sgd":
        m = rule.momentum * m + g + decay * p
        return p - rate * m, m, v
    p = p - rate * decay * p
    m = BETAS[0] * m + (1 - BETAS[0]) * g
    v = BETAS[1] * v + (1 - BETAS[1]) * g * g
    root = (v / (1 - BETAS[1] ** steps)).sqrt() + EPSILON
    return p - rate / (1 - BETAS[0] ** steps) * m / root, m, v


def exact_step(arena, other_norm):
    """What one step must give, in float64, by name."""
    rule, count = arena.rule, len(SHAPES)
    views = {name: arena.views(getattr(arena, name)) for name in ("change", "momentum")}
    if arena.variance is not None:
        views["variance"] = arena.views(arena.variance)
    old = {name: [v.double() for v in parts] for name, parts in views.items()}
    gradients = [leaf.grad.double() for leaf in arena.leaves]
    gate_score = arena.gate_score.double()
    gate = [bool(s >= torch.tensor(THRESHOLD)) for s in arena.gate_score]
    ds = torch.stack([(g * d).sum() for g, d in zip(gradients, old["change"], strict=True)])
    ds = ds * (not arena.locked) + RATES.penalty * gate_score.sign() * (not arena.locked)
    changes = [g * is_open for g, is_open in zip(gradients, gate, strict=True)]
    factor = 1.0
    if other_norm is not None:
        square = sum(c.square().sum() for c in changes) + ds.square().sum() + other_norm**2
        factor = min(1.0, rule.clip_norm / (float(square) ** 0.5 + 1e-6))
    state = (
        gate_score,
        ds * factor,
        arena.gate_score_momentum.double(),
        arena.gate_score_variance.double(),
    )
    if not arena.locked:
        gate_score = optimize(rule, *state, RATES.gate_score, 0.0, arena.steps + 1)[0]
    found = {"gate_score": gate_score, "factor": factor, "change": [], "momentum": [], "merged": []}
    for i in range(count):
        variance = old["variance"][i] if "variance" in old else old["momentum"][i]
        moments = (old["momentum"][i], variance)
        change, momentum, _ = optimize(
            rule, old["change"][i], changes[i] * factor, *moments, RATES.change, 0.01, 4
        )
        found["change"].append(change)
        found["momentum"].append(momentum)
        opens = bool(gate_score[i].float() >= torch.tensor(THRESHOLD))
        found["merged"].append(arena.weights[i].double() + opens * change)
    return found


def poison(kernels):
    for name in ("products", "squares", "gate_score_gradient", "layer_square", "coefficient"):
        getattr(kernels, name).fill_(torch.nan)
    with torch.no_grad():
        kernels.arena.merged.fill_(torch.nan)


@pytest.mark.parametrize("working", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("clip_norm", [None, 20.0, pytest.param(1e6, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("locked", [False, True], ids=["searching", "locked"])
def test_a_step_is_exact(optimizer, clip_norm, gates, working, locked):
    arena = make_arena(optimizer, clip_norm, gates, working, locked)
    other = None if clip_norm is None else torch.tensor(3.0)
    expected = exact_step(arena, None if other is None else 3.0)
    kernels = TritonKernels(arena)
    poison(kernels)
    factor = kernels.step(RATES, other)
    if other is None:
        assert factor is None
    else:
        assert float(factor) == pytest.approx(expected["factor"], rel=1e-5)
    assert error(arena.gate_score, expected["gate_score"]) < 1e-5
    for name in ("change", "momentum", "merged"):
        rounding = 4e-3 if name == "merged" and working == torch.bfloat16 else 1e-5
        for view, exact in zip(arena.views(getattr(arena, name)), expected[name], strict=True):
            assert error(view, exact) < rounding, name
    assert torch.isfinite(arena.merged).all()


@pytest.mark.parametrize("gates", GATES)
def test_the_merge_is_exact(gates):
    arena = make_arena("sgd", None, gates, torch.float32)
    kernels = TritonKernels(arena)
    poison(kernels)
    kernels.merge()
    for i, (weight, leaf) in enumerate(zip(arena.weights, arena.leaves, strict=True)):
        is_open = bool(arena.gate_score[i] >= THRESHOLD)
        assert torch.equal(leaf, weight + arena.changes[i] if is_open else weight)


EVERY_WAY = ("sgd, clipped", "adamw, accumulated, weight decay, clipped")
"""Between them these take every branch of the kernels."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in EVERY_WAY else pytest.mark.nightly)
        for name in SETTINGS
    ],
)
def test_the_kernels_train_as_the_equations_say(name):
    expected = train_straight_through(SETTINGS[name], STEPS)
    actual = train_arena(SETTINGS[name], STEPS, TritonKernels)
    assert expected.flips >= 10
    assert not actual.differs(expected)


FAULTS = {
    "half the penalty": (
        "sgd",
        "tl.load(hyper + PENALTY) * sign",
        "0.5 * tl.load(hyper + PENALTY)",
    ),
    "closed layers change": ("adamw", "g = tl.where(was_open, g, 0.0)", "g = g"),
    "closed layers are merged": ("sgd, clipped", "tl.where(opens, w + d, w)", "(w + d)"),
    "moved gates are forgotten": (
        "sgd",
        "if opens != _is_open(previous",
        "if layer < 0 * _is_open(previous",
    ),
    "the new gate gates the gradient": (
        "adamw, clipped",
        "was_open = _is_open(previous, layer, hyper)",
        "was_open = opens",
    ),
    "changes are not clipped": ("sgd, clipped", "g *= tl.load(coefficient)", "g *= 1.0"),
    "gate_scores do not count in the norm": ("sgd, clipped", "own + ds * ds", "own"),
    "gate_scores decay": (
        "adamw, accumulated, weight decay, clipped",
        "tl.load(hyper + GATE_SCORE_RATE), 0.0",
        "tl.load(hyper + GATE_SCORE_RATE), 0.05",
    ),
}


@pytest.mark.nightly
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, monkeypatch, tmp_path):
    name, right, wrong = FAULTS[fault]
    monkeypatch.setattr(arena_device, "kernels", faulty(arena_triton, (right, wrong), tmp_path))
    expected = train_straight_through(SETTINGS[name], 16)
    assert train_arena(SETTINGS[name], 16, TritonKernels).differs(expected)


def test_weights_in_bfloat16_answer_to_small_changes():
    assert answer(5e-5, TritonKernels) == pytest.approx(1, abs=0.02)
