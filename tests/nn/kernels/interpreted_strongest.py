"""The benchmark's strongest baseline is AdamW."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "gpu"))

from strongest import AdamWithCopy

from suite.nn.kernels.arena import Arena, Rule


def test_the_optimizer_with_a_copy_is_adamw():
    torch.manual_seed(0)
    weights = [torch.randn(40, 30), torch.randn(8), torch.randn(16, 100)]
    rule = Rule("adamw", 0.9, 0.01, None, 0.1)
    arena = Arena(weights, weights, torch.ones(3), rule, working=torch.float16)
    ours = AdamWithCopy(arena, 1e-2, 0.01)
    # The interpreter reads gradients in the types that it knows.
    parameters = [torch.nn.Parameter(weight.clone()) for weight in weights]
    theirs = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        for leaf, parameter in zip(arena.leaves, parameters, strict=True):
            parameter.grad = torch.randn_like(parameter)
            leaf.grad = None
        arena.gradients = lambda: [parameter.grad for parameter in parameters]
        ours.step()
        theirs.step()
    for master, leaf, parameter in zip(arena.changes, arena.leaves, parameters, strict=True):
        torch.testing.assert_close(master, parameter.data)
        assert torch.equal(leaf.detach(), master.half())


def test_odd_sizes_are_refused():
    weights = [torch.randn(3, 5)]
    rule = Rule("adamw", 0.9, 0.01, None, 0.1)
    arena = Arena(weights, weights, torch.ones(1), rule, working=torch.float16)
    with pytest.raises(ValueError, match="multiple of 8"):
        AdamWithCopy(arena, 1e-2, 0.01)
