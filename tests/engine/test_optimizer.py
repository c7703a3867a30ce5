"""The recipe's optimizers against torch's plain ones."""

import pytest
import torch
from torch import nn

from suite.backbones.parameters import ParameterSet
from suite.engine.optimizer import make_optimizer
from suite.method import AdaptedModel, Backbone, Method
from suite.registry.schema import Recipe


class Plain(Method):
    def adapt(self, backbone: Backbone, tasks):
        raise NotImplementedError


class Parts(nn.Module):
    """Two tensors, of which the second gets its first gradient in the third step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(3))

    def loss(self, step: int) -> torch.Tensor:
        loss = (self.first - step).square().sum()
        return loss if step < 2 else loss + self.second.exp().sum()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_takes_parameters_whose_gradients_come_later(momentum):
    ours, plain = Parts(), Parts()
    recipe = Recipe(optimizer="sgd", learning_rate=0.01, momentum=momentum, clip_norm=None)
    model: AdaptedModel = ours  # type: ignore[assignment]
    optimizer = make_optimizer(Plain(), model, ParameterSet(ours.parameters()), recipe)
    reference = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=momentum, foreach=False)
    for step in range(6):
        ours.loss(step).backward()
        optimizer.step(1.0, step / 6)
        plain.loss(step).backward()
        reference.step()
        reference.zero_grad()
        for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=0)
