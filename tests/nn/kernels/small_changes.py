"""How weights in bfloat16 answer to changes that are smaller than their spacing."""

import torch

from suite.nn.kernels.arena import Arena, Rule

RULE = Rule("adamw", 0.0, 0.0, None, 0.1)
SIZES = (1e-5, 5e-5, 2e-4)
COUNT = 200_000


def answer(size, kernels_of):
    """The mean change of the weights that layers compute with, over the change of all of them."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(COUNT, generator=generator)
    changes = [torch.full((COUNT,), own) for own in (0.0, size)]
    scores = torch.full((2,), 0.2)
    arena = Arena([weight, weight], changes, scores, RULE, working=torch.bfloat16)
    kernels_of(arena).merge()
    before, after = (leaf.detach() for leaf in arena.leaves)
    # What the network computes with once its gates have tensors of their own, under autocast.
    assert torch.equal(after, (weight + changes[1]).bfloat16())
    return float((after.double() - before.double()).mean()) / size
