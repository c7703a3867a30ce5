import json
from pathlib import Path

import pytest
import torch

from suite.nn import chebyshev
from suite.nn.chebyshev import Chebyshev

PUBLIC = Path(__file__).parents[1] / "methods" / "public" / "mdmtn.json"


def test_values_gradients_and_multipliers_are_those_of_the_public_code():
    content = json.loads(PUBLIC.read_text())
    inputs, rounds = content["inputs"], content["outputs"]["rounds"]
    assert inputs["weights"] == [0.5, 0.5]
    assert inputs["augmentation"] == chebyshev.AUGMENTATION
    weighting = Chebyshev("ab", inputs["penalty"], inputs["growth"], rounds=2)
    optimizer = torch.optim.SGD([weighting.bound], inputs["rate"])
    torch.nn.init.constant_(weighting.bound, inputs["bound"])
    losses = iter(inputs["losses"])
    for number, expected in enumerate(rounds, 1):
        for step in expected["steps"]:
            own = torch.tensor(next(losses), requires_grad=True)
            optimizer.zero_grad()
            value = weighting(dict(zip("ab", own, strict=True)))
            value.backward()
            assert value.item() == pytest.approx(step["value"], rel=1e-5)
            assert own.grad.tolist() == pytest.approx(step["losses"], rel=1e-5)
            assert weighting.bound.grad.item() == pytest.approx(step["bound"], rel=1e-4)
            optimizer.step()
        weighting.advance(number / 2)
        assert weighting.multipliers.tolist() == pytest.approx(expected["multipliers"], rel=1e-5)
        assert weighting.penalty == expected["penalty"]


def test_the_worse_task_gains_weight():
    weighting = Chebyshev("ab", 0.1, 1.0, rounds=4)
    torch.nn.init.constant_(weighting.bound, 0.4)
    losses = {"a": torch.tensor(2.0, requires_grad=True), "b": torch.tensor(0.1)}
    gradients = []
    for step in range(4):
        weighting.advance(step / 4)
        losses["a"].grad = None
        weighting(losses).backward()
        gradients.append(losses["a"].grad.item())
    assert gradients[3] > 1.2 * gradients[0]
    assert weighting.multipliers[0] > 0.6 > 0.4 > weighting.multipliers[1]


def test_batches_of_one_task_have_on_average_the_gradients_of_all_together():
    together, apart = (Chebyshev("ab", 0.3, 1.0, rounds=1) for _ in range(2))
    for weighting in (together, apart):
        torch.nn.init.constant_(weighting.bound, 0.1)
        weighting.last.copy_(torch.tensor([0.7, 0.2]))
    a, b = (torch.tensor(value, requires_grad=True) for value in (0.7, 0.2))
    together({"a": a, "b": b}).backward()
    expected = [a.grad.item(), b.grad.item()]
    a.grad = b.grad = None
    apart({"a": a}, share=0.5).backward()
    assert b.grad is None
    apart({"b": b}, share=0.5).backward()
    assert [a.grad.item() / 2, b.grad.item() / 2] == pytest.approx(expected)
