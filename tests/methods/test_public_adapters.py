"""Adapters of transformers compute what public code does, and start as there."""

import pytest
import torch
from public_code import CLOSE, adapted_by, assert_gradients, named, read, write
from timm.models.vision_transformer import VisionTransformer
from tiny import tiny_batch
from torch import nn
from transformers import BertConfig, BertModel

from suite.nn.hypercomplex import HypercomplexLinear, shared_rules

ADAPTER = {
    f"{public}.{end}": f"{name}.{end}"
    for public, name in (("down_proj", "down"), ("up_proj", "up"))
    for end in ("weight", "bias")
}


def both(*names):
    """Layers that have the same name here and there, or (public name, name)."""
    pairs = [(name, name) if isinstance(name, str) else name for name in names]
    return {f"{a}.{end}": f"{b}.{end}" for a, b in pairs for end in ("weight", "bias")}


def test_a_block_with_adaptformer_is_that_of_the_public_code():
    inputs, outputs = read("adaptformer")
    network = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2, mlp_ratio=2, num_classes=0
    )
    model = adapted_by("adaptformer", "vit", network, bottleneck=3).eval()
    block = model.backbone.network.blocks[0]
    state = inputs["state"]
    for end in ("weight", "bias"):
        parts = [state.pop(f"attn.{part}_proj.{end}") for part in "qkv"]
        state[f"attn.qkv.{end}"] = torch.cat(parts)
    adapter = {f"adaptmlp.{a}": f"drop_path2.0.module.{b}" for a, b in ADAPTER.items()}
    layers = both("norm1", "norm2", "attn.qkv", "attn.proj", ("fc1", "mlp.fc1"), ("fc2", "mlp.fc2"))
    own = named(block, {**layers, **adapter})
    write(own, state)
    y = block(inputs["x"])
    torch.testing.assert_close(y.detach(), outputs["y"], **CLOSE)
    (y * inputs["direction"]).sum().backward()
    assert_gradients(own, outputs["gradients"])


def test_adaptformer_normalises_the_features_that_its_head_reads():
    network = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2, num_classes=0
    )
    plain = nn.BatchNorm1d(8, affine=False, eps=1e-6)
    images = tiny_batch("vit", "a").inputs
    expected = plain(network(images["image"])).detach()
    model = adapted_by("adaptformer", "vit", network)
    model.train()
    torch.testing.assert_close(model.backbone(images).detach(), expected)
    statistics = model.backbone.network.head.state_dict()
    torch.testing.assert_close(statistics["running_mean"], plain.running_mean)
    torch.testing.assert_close(statistics["running_var"], plain.running_var)


def test_a_feed_forward_with_a_parallel_adapter_is_that_of_the_public_code():
    inputs, outputs = read("parallel_adapters")
    config = BertConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    network = BertModel(config, add_pooling_layer=False)
    model = adapted_by("parallel_adapters", "bert", network, bottleneck=3, scale=4.0).eval()
    layer = model.backbone.network.encoder.layer[0]
    adapter = {f"ef_ffn_adapter.{a}": f"output.dropout.1.module.{b}" for a, b in ADAPTER.items()}
    layers = both("intermediate.dense", "output.dense", "output.LayerNorm")
    own = named(layer, {**layers, **adapter})
    write(own, inputs["state"])
    y = layer.feed_forward_chunk(inputs["x"])
    torch.testing.assert_close(y.detach(), outputs["y"], **CLOSE)
    (y * inputs["direction"]).sum().backward()
    assert_gradients(own, outputs["gradients"])


def test_a_compacter_layer_is_that_of_the_public_code():
    inputs, outputs = read("compacter")
    given, expected = inputs["layer"], outputs["layer"]
    layer = HypercomplexLinear(8, 12, nn.Parameter(given["rules"]))
    own = {"rules": layer.rules, "W_left": layer.u, "W_right": layer.v, "b": layer.bias}
    shaped = {name: given[name].squeeze() for name in own}
    write(own, shaped)
    y = layer(given["x"])
    torch.testing.assert_close(y.detach(), expected["y"], **CLOSE)
    (y * given["direction"]).sum().backward()
    gradients = {name: expected[name].squeeze() for name in ("rules", "W_left", "W_right")}
    assert_gradients(own, gradients)


def test_compacter_starts_as_the_public_code_does():
    inputs, outputs = read("compacter")
    torch.manual_seed(0)
    layer = HypercomplexLinear(*inputs["widths"].tolist(), shared_rules(4))
    for name, factor in (("W_left", layer.u), ("W_right", layer.v)):
        expected = outputs["start"][name]
        assert factor.std().item() == pytest.approx(expected["std"], rel=0.05)
        assert factor.abs().max().item() == pytest.approx(expected["largest"], rel=0.05)
