import pytest
import torch
import torch.nn.functional as F
from torch import nn

from suite.nn.convolution import ConvAdapter, SeriesAdapter, pointwise


def conv(stride=1):
    return nn.Conv2d(8, 16, 3, stride, 1, bias=False)


@pytest.mark.parametrize("stride", [1, 2])
def test_beside_a_convolution_an_adapter_fits_its_output(stride):
    x = torch.randn(2, 8, 9, 9)
    layer = conv(stride)
    for adapter in (pointwise(layer), ConvAdapter(layer, 2)):
        assert adapter(x).shape == layer(x).shape


def test_a_parallel_adapter_is_a_change_of_the_kernels_centre():
    layer, x = conv(2), torch.randn(2, 8, 9, 9)
    adapter = pointwise(layer)
    kernel = layer.weight.clone()
    kernel[:, :, 1, 1] += adapter.weight[:, :, 0, 0]
    torch.testing.assert_close(
        layer(x) + adapter(x), F.conv2d(x, kernel, stride=2, padding=1), rtol=1e-4, atol=1e-4
    )


def test_a_series_adapter_normalises_what_it_reads():
    adapter = SeriesAdapter(4)
    y = 3 + 2 * torch.randn(8, 4, 5, 5)
    nn.init.eye_(adapter.conv.weight[:, :, 0, 0].data)
    change = adapter(y) - y
    torch.testing.assert_close(change.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)


def test_a_conv_adapter_reads_each_group_of_channels_alone():
    adapter = ConvAdapter(conv(), 2)
    x = torch.randn(1, 8, 5, 5)
    before = adapter.down(x)
    x[:, 4:] += 1
    after = adapter.down(x)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])
