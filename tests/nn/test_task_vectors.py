import torch
from torch import nn

from suite.nn.task_vectors import State, TaskVectors


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def change(module, amount):
    """Move every parameter and every running statistic by the same amount."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(amount)


def test_restoring_brings_parameters_and_running_statistics_back():
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    start = State(module)
    change(module, 1.0)
    start.restore()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_merge_adds_the_changes_of_all_trainings_each_tensor_by_its_factor():
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    vectors = TaskVectors(module)
    for amount in (1.0, 2.0):
        change(module, amount)
        vectors.collect()
        vectors.restore()
    factors = {name: 0.1 * number for number, name in enumerate(vectors.total)}
    vectors.merge(factors)
    for name, tensor in module.state_dict().items():
        if name in factors:
            torch.testing.assert_close(tensor, before[name] + 3 * factors[name])
