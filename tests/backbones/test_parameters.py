import pytest
import torch
from torch import nn

from suite.backbones.parameters import ParameterSet


def made(count):
    return [nn.Parameter(torch.zeros(2)) for _ in range(count)]


def test_parameters_of_equal_values_are_different_and_keep_their_order():
    a, b, c = made(3)
    found = ParameterSet([c, a, c, b])
    assert [number for p in found for number, own in enumerate((a, b, c)) if p is own] == [2, 0, 1]
    assert len(found) == 3
    assert a in found
    assert nn.Parameter(torch.zeros(2)) not in found


@pytest.mark.parametrize(
    ("combined", "expected"),
    [
        (lambda left, right: left - right, [3, 0]),
        (lambda left, right: left & right, [2, 1]),
        (lambda left, right: left | right, [3, 2, 1, 0, 4]),
    ],
    ids=["difference", "intersection", "union"],
)
def test_sets_combine_in_the_order_of_the_first(combined, expected):
    own = made(5)
    found = combined(
        ParameterSet(own[i] for i in (3, 2, 1, 0)), ParameterSet(own[i] for i in (1, 2, 4))
    )
    assert [number for p in found for number, other in enumerate(own) if p is other] == expected


def test_a_parameter_that_is_dropped_elsewhere_stays_itself():
    """Its id may not be given to one that is made later."""
    found = ParameterSet(made(100))
    assert not [parameter for parameter in made(1000) if parameter in found]
