import copy

import pytest
import torch
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.nn.distillation import LastOutput, adaptors, feature_distance


def test_the_distance_is_that_of_unit_vectors():
    a = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    b = torch.tensor([[6.0, 8.0], [1.0, 0.0]])
    assert feature_distance(a, b).item() == pytest.approx((0 + 2) / 2)
    assert feature_distance(a, -a).item() == pytest.approx(4)


def test_an_adaptor_starts_as_the_identity_and_serves_one_task():
    maps = adaptors(TaskContext(["a", "b"]), 3)
    x = torch.randn(2, 5, 3)
    assert torch.equal(maps(x), x)
    with torch.no_grad():
        maps.by_task["b"].weight.zero_()
    assert torch.equal(maps(x), x)


def test_a_hook_sees_the_output_and_a_copy_of_the_network_has_a_hook_of_its_own():
    network = nn.Linear(2, 2)
    last = network.last = LastOutput.of(network)
    with pytest.raises(RuntimeError, match="before it ran"):
        last.read()
    output = network(torch.ones(1, 2))
    clone = copy.deepcopy(network)
    assert last.read() is output
    again = clone(torch.zeros(1, 2))
    assert clone.last.read() is again
    assert last.read() is output
