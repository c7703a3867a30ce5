"""Swin transformers: attention within windows that move, widths that grow by stage."""

from dataclasses import replace
from typing import ClassVar

from suite.backbones.families import vit
from suite.backbones.families.vit import PARTS, ViT
from suite.backbones.sites import (
    Network,
    Site,
    blocks_of,
    inside,
    weight_sites,
    with_depths,
)
from suite.registry.schema import SiteKind

ATTENTION, FEED_FORWARD = vit.SUBLAYERS
SUBLAYERS = (replace(ATTENTION, entry=""), FEED_FORWARD)


class Swin(ViT):
    """Liu et al., "Swin Transformer", ICCV 2021, arXiv 2103.14030; the first version alone, since
    the second reads its projections' weights without calling them."""

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "patch_embedding",
    )  # fmt: skip
    timm: ClassVar[tuple[str, ...]] = ("swin_*",)
    classes: ClassVar[tuple[str, ...]] = ("SwinTransformer",)

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
