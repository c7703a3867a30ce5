"""Norms are told by what they compute, whatever they are called."""

import pytest
import torch
from timm.layers import LayerNorm2d, LayerScale, RmsNorm, SimpleNorm
from timm.layers.norm_act import BatchNormAct2d, GroupNormAct
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mobilebert.modeling_mobilebert import NoNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from suite.backbones.layers import channels_first, is_norm


class Scaling(nn.Module):
    """A layer whose name says nothing: it divides by the largest entry."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.weight * x / x.abs().amax(-1, keepdim=True)


class NotANorm(nn.Module):
    """A layer whose name lies."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return self.weight * x


NORMS = [
    nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.LayerNorm, nn.RMSNorm, BatchNormAct2d,
    LayerNorm2d, RmsNorm, SimpleNorm, T5LayerNorm, LlamaRMSNorm, NoNorm, Scaling,
    lambda n: nn.GroupNorm(2, n), lambda n: GroupNormAct(n, 2),
    lambda n: nn.InstanceNorm2d(n, affine=True),
]  # fmt: skip
OTHERS = [
    NotANorm, LayerScale, nn.PReLU, lambda n: nn.Linear(n, n), lambda n: nn.Conv2d(n, n, 1),
    lambda n: nn.Embedding(n, n), lambda n: nn.Identity(), lambda n: nn.Sequential(nn.LayerNorm(n)),
    lambda n: nn.LayerNorm(n, elementwise_affine=False), lambda n: nn.Conv1d(n, n, 1),
]  # fmt: skip


@pytest.mark.parametrize("make", NORMS)
def test_a_norm_is_one(make):
    assert is_norm(make(8))


@pytest.mark.parametrize("make", OTHERS)
def test_another_layer_is_none(make):
    assert not is_norm(make(8))


@pytest.mark.parametrize("make", [nn.BatchNorm2d, LayerNorm2d, NORMS[-3], NORMS[-2]])
def test_a_norm_of_images_takes_channels_first(make):
    assert channels_first(make(8), 8)


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm, T5LayerNorm, LlamaRMSNorm, SimpleNorm])
def test_a_norm_of_sequences_takes_them_last(make):
    assert not channels_first(make(8), 8)


def test_a_norm_is_one_without_memory():
    with torch.device("meta"):
        assert is_norm(T5LayerNorm(8)) and is_norm(nn.LayerNorm(8)) and not is_norm(NotANorm(8))
