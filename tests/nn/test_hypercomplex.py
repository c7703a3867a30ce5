import pytest
import torch

from suite.nn.hypercomplex import HypercomplexAdapter, HypercomplexLinear, shared_rules


def test_the_matrix_is_the_sum_of_kronecker_products():
    torch.manual_seed(0)
    rules = shared_rules(4)
    rules.data.normal_()
    layer = HypercomplexLinear(12, 8, rules)
    torch.nn.init.normal_(layer.bias)
    matrix = sum(
        torch.kron(rules[i], torch.outer(layer.u[i], layer.v[i])) for i in range(len(rules))
    )
    x = torch.randn(5, 12)
    torch.testing.assert_close(layer(x), x @ matrix + layer.bias)


def test_adapters_start_near_the_identity_and_share_their_rules():
    torch.manual_seed(0)
    rules = shared_rules(4)
    first, second = (HypercomplexAdapter(32, 8, rules) for _ in range(2))
    y = torch.randn(3, 32)
    assert (first(y) - y).abs().max() < 1e-4
    (first(y).sum() + second(y).sum()).backward()
    assert first.down.rules is second.up.rules
    assert rules.grad is not None


def test_widths_that_the_rules_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="4 rules need widths they divide, not 10 and 8"):
        HypercomplexLinear(10, 8, shared_rules(4))
