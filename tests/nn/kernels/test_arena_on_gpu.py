"""The arena's kernels, compiled, on a GPU: `pytest -m gpu`."""

import pytest
import torch
from straight_through import THRESHOLD, base_weights

from suite.nn.kernels.arena import Arena, Rates, Rule
from suite.nn.kernels.arena_torch import TorchKernels

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STEPS = 20
RULES = {
    "sgd": Rule("sgd", 0.9, 0.01, None, THRESHOLD),
    "sgd, clipped": Rule("sgd", 0.9, 0.01, 0.5, THRESHOLD),
    "adamw": Rule("adamw", 0.9, 0.01, None, THRESHOLD),
    "adamw, clipped": Rule("adamw", 0.9, 0.01, 0.5, THRESHOLD),
}


def rates(step):
    return Rates(0.05 / (1 + step), 0.4 / (1 + step), 0.05)


def make(rule, device, working=torch.float32):
    weights = [weight.to(device) for weight in base_weights(torch.channels_last)]
    zeros = [torch.zeros_like(weight) for weight in weights]
    gate_scores = torch.full((len(weights),), 0.15, device=device)
    return Arena(weights, zeros, gate_scores, rule, working=working)


def gradients(arena, step):
    """Random ones that pull the merged weights towards a target, so that gates move."""
    generator = torch.Generator().manual_seed(step % 3)
    for leaf in arena.leaves:
        noise = torch.randn(leaf.shape, generator=generator).to(leaf)
        leaf.grad = torch.empty_like(leaf).copy_(noise + (-1) ** step * leaf.detach())


def trace(kernels, arena, steps=STEPS):
    gates = []
    for step in range(steps):
        gradients(arena, step)
        other = torch.tensor(1.0, device=arena.gate_score.device)
        kernels.step(rates(step), other if arena.rule.clip_norm else None)
        gates.append((arena.gate_score >= THRESHOLD).tolist())
    return gates


@pytest.mark.parametrize("name", RULES)
def test_the_compiled_kernels_step_as_pytorch_does(name):
    from suite.nn.kernels.arena_device import TritonKernels

    ours, reference = make(RULES[name], "cuda"), make(RULES[name], "cpu")
    assert trace(TritonKernels(ours), ours) == trace(TorchKernels(reference), reference)
    for mine, its in zip(ours.leaves, reference.leaves, strict=True):
        torch.testing.assert_close(mine.cpu(), its, rtol=1e-4, atol=1e-5)
        assert mine.stride() == its.stride()


@pytest.mark.parametrize("name", RULES)
def test_two_runs_agree_bit_by_bit(name):
    from suite.nn.kernels.arena_device import TritonKernels

    arenas = [make(RULES[name], "cuda", torch.bfloat16) for _ in range(2)]
    for arena in arenas:
        trace(TritonKernels(arena), arena)
    assert torch.equal(arenas[0].merged, arenas[1].merged)
    assert torch.equal(arenas[0].gate_score, arenas[1].gate_score)


@pytest.mark.parametrize("name", RULES)
def test_a_replayed_graph_does_what_eager_steps_do(name):
    from suite.nn.kernels.arena_device import TritonKernels

    eager, replayed = make(RULES[name], "cuda"), make(RULES[name], "cuda")
    eager_kernels, kernels = TritonKernels(eager), TritonKernels(replayed)
    other = torch.tensor(1.0, device="cuda") if replayed.rule.clip_norm else None
    # One eager step compiles everything that the graph launches.
    for arena, own in ((eager, eager_kernels), (replayed, kernels)):
        gradients(arena, 0)
        own.step(rates(0), other)
    gradients(replayed, 1)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        kernels.launch(other)
    static = [leaf.grad for leaf in replayed.leaves]
    for step in range(1, STEPS):
        gradients(eager, step)
        eager_kernels.step(rates(step), other)
        gradients(replayed, step)
        for buffer, leaf in zip(static, replayed.leaves, strict=True):
            buffer.copy_(leaf.grad)
            leaf.grad = buffer
        kernels.prepare(rates(step))
        graph.replay()
    assert torch.equal(eager.merged, replayed.merged)
    assert torch.equal(eager.gate_score, replayed.gate_score)


@pytest.mark.parametrize("name", RULES)
def test_several_graphs_and_launched_steps_take_turns(name):
    from suite.nn.kernels.arena_device import TritonKernels

    eager, replayed = make(RULES[name], "cuda"), make(RULES[name], "cuda")
    eager_kernels, kernels = TritonKernels(eager), TritonKernels(replayed)
    other = torch.tensor(1.0, device="cuda") if replayed.rule.clip_norm else None
    for arena, own in ((eager, eager_kernels), (replayed, kernels)):
        gradients(arena, 0)
        own.step(rates(0), other)
    captured = []
    for _ in range(2):
        # Each graph has gradients at addresses of its own.
        gradients(replayed, 0)
        static = [leaf.grad for leaf in replayed.leaves]
        graph = torch.cuda.CUDAGraph()
        kernels.prepare(rates(0))
        replayed.steps -= 1
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            kernels.launch(other)
        captured.append((graph, static))
    for step in range(1, STEPS):
        gradients(eager, step)
        eager_kernels.step(rates(step), other)
        gradients(replayed, step)
        kernels.prepare(rates(step))
        if step % 3 == 2:
            kernels.launch(other)
            continue
        graph, static = captured[step % 3]
        for buffer, leaf in zip(static, replayed.leaves, strict=True):
            buffer.copy_(leaf.grad)
        graph.replay()
    assert torch.equal(eager.merged, replayed.merged)
    assert torch.equal(eager.gate_score, replayed.gate_score)
