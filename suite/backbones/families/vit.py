"""Vision transformers: patches of an image as tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from suite.backbones import cifar
from suite.backbones.family import ImageFamily
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
from suite.backbones.vit_of_transformers import vit_of_transformers
from suite.registry.schema import BackboneEntry, SiteKind

SUBLAYERS = (
    Sublayer("attention", "drop_path1", "attn", "norm1", insert_before=True),
    Sublayer("feed_forward", "drop_path2", "mlp", "norm2", insert_before=True),
)
PARTS: Parts = {
    r"attn\.qkv": "qkv",
    r"attn\.proj": "attention_output",
    r"mlp\.fc1": "ff_hidden",
    r"mlp\.fc2": "ff_output",
}


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
        """With one projection for queries, keys and values."""
        assert entry.image_size is not None, "an image backbone states its image size"
        return vit_of_transformers(folder, entry.image_size)

    @classmethod
    def small(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """Without class token."""
        return cifar.vit(**arguments)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """After layer scale, before stochastic depth and the residual sum of a timm block."""
        layer_of = numbered(r"blocks\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, PARTS))
        width = network.embed_dim
        for layer in range(len(network.blocks)):
            prefix = f"blocks.{layer}"
            sites.append(Site(prefix, "tokens", "encoder", layer, width))
            sites += [each.site(prefix, "encoder", layer, width) for each in SUBLAYERS]
        return with_depths(sites)

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """After class, distillation and register tokens."""
        return TokenSequence(network.blocks, place=network.num_prefix_tokens)
