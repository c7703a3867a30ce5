import pytest
import torch
import torch.nn.functional as F
from torch import nn

from suite.nn.adapter import Adapter, ChannelAdapter, ParallelAdapter, bottleneck_width


def make(form=Adapter, width=64, bottleneck=8, post_norm=False):
    torch.manual_seed(0)
    return form(width, bottleneck, post_norm)


def test_starts_near_the_identity():
    y = torch.randn(5, 7, 64)
    assert (make()(y) - y).abs().max() < 0.05


def test_is_its_equation():
    adapter = make(post_norm=True).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter, std=0.5)
    y = torch.randn(5, 64, dtype=torch.float64)
    hidden = torch.einsum("nd,bd->nb", y, adapter.down.weight) + adapter.down.bias
    inner = (2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)
    hidden = 0.5 * hidden * (1 + torch.tanh(inner))
    out = torch.einsum("nb,db->nd", hidden, adapter.up.weight) + adapter.up.bias
    out = (out - out.mean(-1, keepdim=True)) / (
        out.var(-1, keepdim=True, correction=0) + 1e-5
    ) ** 0.5
    torch.testing.assert_close(adapter(y), y + out * adapter.norm.weight + adapter.norm.bias)


def test_on_feature_maps_it_is_a_bottleneck_of_1x1_convolutions():
    adapter = make(ChannelAdapter)
    y = torch.randn(2, 64, 5, 3)
    down = F.conv2d(y, adapter.down.weight[:, :, None, None], adapter.down.bias)
    up = F.conv2d(
        F.gelu(down, approximate="tanh"), adapter.up.weight[:, :, None, None], adapter.up.bias
    )
    torch.testing.assert_close(adapter(y), y + up)


def test_weights_start_with_the_published_spread():
    adapter = make(width=512, bottleneck=64)
    assert adapter.up.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert adapter.down.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not adapter.up.bias.any()
    assert not adapter.down.bias.any()


def test_narrow_stages_keep_a_bottleneck():
    assert bottleneck_width(768, 32) == 24
    assert bottleneck_width(12, 8) == 4


def test_a_parallel_adapter_starts_as_nothing_and_is_its_equation():
    adapter = ParallelAdapter(64, 8, scale=4.0)
    x = torch.randn(5, 64)
    assert torch.equal(adapter(x), torch.zeros(5, 64))
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    hidden = (x @ adapter.down.weight.T + adapter.down.bias).clamp(min=0)
    torch.testing.assert_close(
        adapter(x), 4 * (hidden @ adapter.up.weight.T + adapter.up.bias), rtol=1e-4, atol=1e-4
    )
