import copy

import pytest
import torch
from torch import nn

from suite.errors import Unsupported
from suite.nn.hypergrid import EncodedStart, GridGated


def fixed(state):
    source = EncodedStart()
    source.value = state
    return source


def test_it_is_the_matrix_times_blocks_of_row_and_column_gates():
    torch.manual_seed(0)
    layer = nn.Linear(6, 8).double()
    state = torch.randn(2, 5, dtype=torch.float64)
    gated = GridGated(layer, fixed(state), 5, rows=3, columns=2).double()
    with torch.no_grad():
        gated.local.normal_()
        gated.shared.normal_()
    h = torch.randn(2, 4, 6, dtype=torch.float64)
    for example in range(2):
        rows = 2 * torch.sigmoid(gated.local @ state[example])
        columns = 2 * torch.sigmoid(gated.shared)
        grid = torch.kron(torch.outer(columns, rows), torch.ones(4, 2, dtype=torch.float64))
        expected = nn.functional.linear(h[example], layer.weight * grid)
        expected += layer.bias
        torch.testing.assert_close(gated(h)[example], expected)


def test_it_starts_as_the_layer_it_gates():
    layer = nn.Linear(6, 8)
    gated = GridGated(layer, fixed(torch.randn(2, 5)), 5, rows=2, columns=4)
    h = torch.randn(2, 3, 6)
    assert torch.equal(gated(h), layer(h))


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(Unsupported, match=r"4 x 2 does not divide .* 6 inputs and 8 outputs"):
        GridGated(nn.Linear(6, 8), EncodedStart(), 5, rows=4, columns=2)


def test_the_state_of_a_pass_is_not_copied_with_the_network():
    source = fixed(torch.randn(2, 5, requires_grad=True) * 2)
    with pytest.raises(RuntimeError, match="not the encoder"):
        copy.deepcopy(source).state()
