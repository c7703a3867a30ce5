"""Swin transformers: attention within windows that move, widths that grow by stage."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from suite.backbones.families import vit
from suite.backbones.families.vit import PARTS, ViT
from suite.backbones.of_transformers import QKV, Checkpoint, renamed
from suite.backbones.sites import (
    Network,
    Site,
    blocks_of,
    inside,
    weight_sites,
    with_depths,
)
from suite.registry.schema import BackboneEntry, SiteKind

ATTENTION, FEED_FORWARD = vit.SUBLAYERS
SUBLAYERS = (replace(ATTENTION, entry=""), FEED_FORWARD)
TABLE = "relative_position_bias_table"
OUTSIDE = {
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "patch_embed.norm": "embeddings.norm",
    "norm": "layernorm",
}
WITHIN = {**vit.WITHIN, f"attn.{TABLE}": f"attention.self.{TABLE}"}


class Swin(ViT):
    """Liu et al., "Swin Transformer", ICCV 2021, arXiv 2103.14030; the first version alone, since
    the second reads its projections' weights without calling them."""

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "patch_embedding",
    )  # fmt: skip
    timm: ClassVar[tuple[str, ...]] = ("swin_*",)
    transformers: ClassVar[tuple[str, ...]] = ("swin",)
    classes: ClassVar[tuple[str, ...]] = ("SwinTransformer",)

    @classmethod
    def of_transformers(cls, entry: BackboneEntry, folder: Path) -> Network:
        """With one projection for queries, keys and values. Windows are those of the checkpoint,
        whatever size the images have."""
        from timm.models.swin_transformer import SwinTransformer

        served = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_absolute_embeddings": False}
        found = Checkpoint(folder, **served)
        config = found.config
        network = SwinTransformer(
            img_size=entry.image_size or config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depths=config.depths,
            num_heads=config.num_heads,
            window_size=config.window_size,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=config.qkv_bias,
            num_classes=0,
        )
        found.fill(network, _names_in_transformers)
        return network

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Before stochastic depth and the residual sums. Attention itself reads windows, which are
        not what joins the residual: nothing can stand beside it."""
        blocks = blocks_of(
            network, lambda _, module: type(module).__name__ == "SwinTransformerBlock"
        )
        sites = list(weight_sites(network, inside(blocks, "encoder"), PARTS))
        for layer, name in enumerate(blocks):
            width = network.get_submodule(name).dim
            sites += [each.site(name, "encoder", layer, width) for each in SUBLAYERS]
        return with_depths(sites)


def _names_in_transformers(name: str) -> list[str]:
    if not name.startswith("layers."):
        return [renamed(name, OUTSIDE)]
    _, stage, rest = name.split(".", 2)
    if rest.startswith("downsample."):
        # In transformers at the end of a stage, in timm at the beginning of the next.
        return [f"encoder.layers.{int(stage) - 1}.{rest}"]
    _, layer, rest = rest.split(".", 2)
    block = f"encoder.layers.{stage}.blocks.{layer}"
    if rest.startswith("attn.qkv."):
        kind = rest.rpartition(".")[2]
        return [f"{block}.attention.self.{part}.{kind}" for part in QKV]
    return [f"{block}.{renamed(rest, WITHIN)}"]
