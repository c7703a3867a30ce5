"""Layers that do more than their base class keep doing it when a task changes their weight."""

import pytest
import torch
from timm.layers import (
    Conv2dSame,
    ScaledStdConv2d,
    ScaledStdConv2dSame,
    StdConv2d,
    StdConv2dSame,
)
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.nn.batch_statistics import OwnStatistics
from suite.nn.gated import gated, gates
from suite.nn.masked import masked
from suite.nn.rcm import reparameterised


class Doubled(nn.Linear):
    """A linear layer with a forward pass of its own."""

    def forward(self, x):
        return 2 * super().forward(x)


FORMS = {
    "same": lambda: Conv2dSame(4, 6, 3, stride=2),
    "standardised": lambda: StdConv2d(4, 6, 3, bias=True),
    "standardised same": lambda: StdConv2dSame(4, 6, 3, stride=2),
    "scaled": lambda: ScaledStdConv2d(4, 6, 3),
    "scaled same": lambda: ScaledStdConv2dSame(4, 6, 3, stride=2),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
}
CHANGES = {
    "gated": lambda layer, context: gated(layer, context, 1.0, 0.1),
    "masked": lambda layer, context: masked(layer, context, 1.0, 0.5),
    "reparameterised": lambda layer, context: reparameterised(layer, context, True),
}
CONTEXT = TaskContext(("a", "b"))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", FORMS)
def test_a_convolution_computes_what_it_did(form, change):
    torch.manual_seed(0)
    layer = FORMS[form]()
    x = torch.randn(2, 4, 9, 9)
    changed = CHANGES[change](layer, CONTEXT)
    torch.testing.assert_close(changed(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_change_of_the_weight_goes_through_the_layers_own_forward(form):
    torch.manual_seed(0)
    layer = FORMS[form]()
    x = torch.randn(2, 4, 9, 9)
    changed = gated(layer, CONTEXT, 1.0, 0.1)
    (gate,) = gates(changed, "a")
    with torch.no_grad():
        gate.change.copy_(torch.randn(gate.change.shape))
        answer = changed(x)
        layer.weight += gate.change
        torch.testing.assert_close(answer, layer(x))
        assert not torch.allclose(answer, gated(FORMS[form](), CONTEXT, 1.0, 0.1)(x))


def test_a_linear_layer_computes_what_it_did():
    layer, x = Doubled(4, 3), torch.randn(2, 4)
    assert torch.equal(gated(layer, CONTEXT, 1.0, 0.1)(x), layer(x))


def test_the_statistics_of_a_norm_leave_its_activation_in_place():
    norm = BatchNormAct2d(4, act_layer=nn.ReLU).eval()
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(OwnStatistics(norm).eval()(x), norm(x))
    assert (OwnStatistics(norm).train()(x) >= 0).all()
