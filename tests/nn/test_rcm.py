import pytest
import torch
import torch.nn.functional as F
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.nn.rcm import Modulator, reparameterised


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("channels", [(3, 40), (12, 8)])
def test_the_split_gives_the_pretrained_convolution_back(channels, normalised):
    torch.manual_seed(0)
    conv = nn.Conv2d(*channels, 3, stride=2, padding=1)
    x = torch.randn(2, channels[0], 9, 9)
    torch.testing.assert_close(
        reparameterised(conv, TaskContext(["a"]), normalised)(x), conv(x), rtol=1e-4, atol=1e-5
    )


def test_responses_of_the_bank_to_white_inputs_are_uncorrelated_the_strongest_first():
    torch.manual_seed(0)
    bank = Modulator(torch.randn(8, 12, 3, 3), normalised=True).bank
    covariance = bank @ bank.T
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), rtol=0, atol=1e-3)
    assert (covariance.diagonal().diff() < 0).all()


def test_it_is_the_frozen_bank_followed_by_a_pointwise_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, padding=1, bias=False).double()
    split = reparameterised(conv, TaskContext(["a"]), normalised=False)
    modulator = split.transforms.by_task["a"]
    nn.init.normal_(modulator.mixture)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    responses = F.conv2d(x, modulator.bank.view_as(conv.weight), padding=1)
    torch.testing.assert_close(split(x), F.conv2d(responses, modulator.mixture[:, :, None, None]))


def test_normalised_the_size_of_a_mixture_is_that_of_its_lengths_alone():
    torch.manual_seed(0)
    weight = torch.randn(6, 4, 3, 3)
    modulator = Modulator(weight, normalised=True)
    with torch.no_grad():
        before = modulator(weight)
        modulator.mixture.mul_(7)
        torch.testing.assert_close(modulator(weight), before)
        modulator.lengths[2] *= 3
        expected = before.clone()
        expected[2] *= 3
    torch.testing.assert_close(modulator(weight).detach(), expected)
