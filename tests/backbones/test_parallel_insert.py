"""Modules beside a sublayer read what the sublayer reads."""

import copy

import pytest
import torch
from tiny import tiny_backbone, tiny_batch
from torch import nn

from suite.backbones.base import TextToTextBackbone


class Recorder(nn.Module):
    """Adds a fixed shift to every output and keeps what it was given."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return self.shift * x


def run(backbone, family):
    batch = tiny_batch(family, "a")
    with torch.no_grad():
        if isinstance(backbone, TextToTextBackbone):
            return backbone(batch.inputs, batch.target_ids)
        return backbone(batch.inputs)


@pytest.mark.parametrize("kind", ["attention", "feed_forward"])
@pytest.mark.parametrize("family", ["vit", "bert", "t5"])
def test_a_module_beside_a_sublayer_reads_its_input(family, kind):
    for before_norm in (False, True):
        backbone = tiny_backbone(family).eval()
        site = backbone.of_kind(kind)[0]
        expected = []
        entry = (site.entry_norm if before_norm else "") or site.entry
        backbone.network.get_submodule(entry).register_forward_pre_hook(
            lambda module, args, kept=expected: kept.append(args[0])
        )
        plain = run(backbone, family)
        recorder = Recorder()
        backbone.insert_parallel(site, recorder, before_norm)
        assert torch.equal(run(backbone, family), plain)
        assert torch.equal(recorder.seen[0], expected[0])
        recorder.shift.data.fill_(0.5)
        assert not torch.equal(run(backbone, family), plain)


def test_beside_a_pre_norm_sublayer_the_algebra_is_that_of_the_papers():
    """Block output = x + attention + MLP(LN(x)) + module, on LN(x) or on x itself."""
    for before_norm in (False, True):
        backbone = tiny_backbone("vit").eval()
        block = backbone.network.blocks[0]
        x = torch.randn(2, 5, backbone.width)
        with torch.no_grad():
            middle = x + block.attn(block.norm1(x))
            normed = block.norm2(middle)
            expected = middle + block.mlp(normed) + 0.5 * (middle if before_norm else normed)
            backbone.insert_parallel(
                backbone.of_kind("feed_forward")[0], Recorder(0.5), before_norm
            )
            torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("family", ["resnet", "densenet"])
def test_a_module_beside_a_convolution_reads_its_input(family):
    backbone = tiny_backbone(family).eval()
    (site, *_) = backbone.of_kind("conv")
    conv = backbone.module(site)
    copied = copy.deepcopy(conv)
    backbone.insert_parallel(site, copied)
    image = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(backbone.module(site)(image), 2 * copied(image))


def test_a_deep_copy_has_a_memory_of_its_own():
    backbone = tiny_backbone("t5").eval()
    site = backbone.of_kind("feed_forward")[0]
    backbone.insert_parallel(site, Recorder(0.5))
    clone = copy.deepcopy(backbone)
    assert torch.equal(run(clone, "t5"), run(backbone, "t5"))
    assert clone.module(site)[0].source is not backbone.module(site)[0].source


def test_a_site_without_an_input_is_refused():
    backbone = tiny_backbone("resnet")
    with pytest.raises(ValueError, match="no input of its own"):
        backbone.insert_parallel(backbone.of_kind("norm")[0], Recorder())
