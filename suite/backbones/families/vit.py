"""Vision transformers: patches of an image as tokens."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from suite.backbones import cifar
from suite.backbones.family import ImageFamily
from suite.backbones.of_transformers import QKV, Checkpoint, renamed
from suite.backbones.sites import (
    Network,
    Parts,
    Site,
    Sublayer,
    numbered,
    weight_sites,
    with_depths,
)
from suite.backbones.tokens import TokenSequence
from suite.registry.schema import BackboneEntry, SiteKind

SUBLAYERS = (
    Sublayer("attention", "drop_path1", "attn", "norm1", insert_before=True),
    Sublayer("feed_forward", "drop_path2", "mlp", "norm2", insert_before=True),
)
POST_NORM = "ResPostBlock"
"""Timm's block whose norms follow the sublayers, within the residual branches."""
PARTS: Parts = {
    r"attn\.qkv": "qkv",
    r"attn\.proj": "attention_output",
    r"mlp\.fc1": "ff_hidden",
    r"mlp\.fc2": "ff_output",
}
OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
"""Names of timm, and those in a file of transformers."""
WITHIN = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""The same within a block."""


class ViT(ImageFamily):
    """Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv 2010.11929; with a
    distillation token (DeiT) or registers as well."""

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "patch_embedding", "tokens",
    )  # fmt: skip
    timm: ClassVar[tuple[str, ...]] = ("vit_*", "deit_*", "deit3_*", "flexivit_*")
    transformers: ClassVar[tuple[str, ...]] = ("vit",)
    classes: ClassVar[tuple[str, ...]] = ("VisionTransformer",)

    @classmethod
    def timm_arguments(cls, entry: BackboneEntry) -> dict[str, Any]:
        """A position for every patch: timm interpolates them where images have another size than
        in pretraining."""
        return {"img_size": entry.image_size}

    @classmethod
    def of_transformers(cls, entry: BackboneEntry, folder: Path) -> Network:
        """With one projection for queries, keys and values, and positions for the images' size."""
        from timm.models.vision_transformer import VisionTransformer

        found = Checkpoint(folder, hidden_act="gelu")
        config = found.config
        network: Any = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.hidden_size,
            depth=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            mlp_ratio=config.intermediate_size / config.hidden_size,
            qkv_bias=config.qkv_bias,
            norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),
            num_classes=0,
        )
        found.fill(network, _names_in_transformers)
        if entry.image_size not in (None, config.image_size):
            network.set_input_size((entry.image_size, entry.image_size))
        return network

    @classmethod
    def small(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """Without class token."""
        return cifar.vit(**arguments)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """After layer scale, before stochastic depth and the residual sum of a timm block. Where
        norms follow the sublayers, adapters follow the norms."""
        layer_of = numbered(r"blocks\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, PARTS))
        width = network.embed_dim
        for layer, block in enumerate(network.blocks):
            prefix = f"blocks.{layer}"
            sites.append(Site(prefix, "tokens", "encoder", layer, width))
            for each in SUBLAYERS:
                own = replace(each, norm="") if type(block).__name__ == POST_NORM else each
                sites.append(own.site(prefix, "encoder", layer, width))
        return with_depths(sites)

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """After class, distillation and register tokens."""
        return TokenSequence(network.blocks, place=network.num_prefix_tokens)


def _names_in_transformers(name: str) -> list[str]:
    if not name.startswith("blocks."):
        return [renamed(name, OUTSIDE)]
    _, layer, rest = name.split(".", 2)
    block = f"encoder.layer.{layer}"
    if rest.startswith("attn.qkv."):
        kind = rest.rpartition(".")[2]
        return [f"{block}.attention.attention.{part}.{kind}" for part in QKV]
    return [f"{block}.{renamed(rest, WITHIN)}"]
