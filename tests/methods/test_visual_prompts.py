"""Visual prompts compute what the published code computes, on networks that pool in either way."""

import json
import os
from pathlib import Path

import pytest
import torch
from registered import ENTRIES, mini_options
from test_prompts import of_type
from timm.models.vision_transformer import VisionTransformer
from tiny import tiny_tasks, wrap

from suite.backbones.load import load_backbone
from suite.method.load import load_method
from suite.nn.prompt import Prompt
from suite.registry import load

PUBLIC = json.loads((Path(__file__).parent / "public" / "vpt.json").read_text())
POOLED = {"class token": {}, "patches": {"global_pool": "avg"}}


def wave(index, shape):
    """The numbers of which the public code was given its weights, prompts and images."""
    steps = 0.37 * (index + 1) * torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (0.5 * torch.sin(steps + index)).view(shape)


@pytest.mark.parametrize("pooled", POOLED)
@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_features_are_those_of_the_public_code(depth, pooled):
    network = VisionTransformer(**PUBLIC["inputs"]["network"], num_classes=0, **POOLED[pooled])
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            parameter.copy_(wave(index, parameter.shape))
    entry = ENTRIES[f"vpt_{depth}"]
    method = load_method(entry, mini_options(entry) | {"tokens": 2})
    model = method.adapt(wrap("vit", network), tiny_tasks("vit", 1)).double().eval()
    with torch.no_grad():
        for layer, prompt in enumerate(of_type(model, Prompt)):
            prompt.tokens.copy_(wave(200 + layer, (2, 8)))
        features = model.backbone({"image": wave(101, (2, 3, 8, 8))})
    expected = torch.tensor(PUBLIC["outputs"][f"{depth}, {pooled}"], dtype=torch.float64)
    torch.testing.assert_close(features, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.data
@pytest.mark.skipif("SUITE_DATA" not in os.environ, reason="SUITE_DATA names no folder")
def test_prompts_stand_after_the_class_token_of_a_real_network():
    backbone = load_backbone(load().backbones["vit_tiny"])
    network = backbone.fresh().network
    entry = ENTRIES["vpt_deep"]
    model = load_method(entry, mini_options(entry)).adapt(backbone, tiny_tasks("vit", 1)).eval()
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x, count = network._pos_embed(network.patch_embed(image)), 0
        for block, prompt in zip(network.blocks, of_type(model, Prompt), strict=True):
            x = torch.cat([x[:, :1], prompt.tokens.expand(2, -1, -1), x[:, 1 + count :]], 1)
            count = len(prompt.tokens)
            x = block(x)
        expected = network.norm(x)[:, 0]
        torch.testing.assert_close(model.backbone({"image": image}), expected)
        assert not torch.allclose(network(image), expected, atol=1e-2)
