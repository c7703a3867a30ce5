"""ConvNeXt: a convolutional network built like a transformer."""

from typing import ClassVar

from suite.backbones.family import ImageFamily
from suite.backbones.sites import (
    Network,
    Parts,
    Site,
    blocks_of,
    inside,
    weight_sites,
    with_depths,
)
from suite.registry.schema import SiteKind

PARTS: Parts = {r"mlp\.fc1": "ff_hidden", r"mlp\.fc2": "ff_output"}


class ConvNeXt(ImageFamily):
    """Liu et al., "A ConvNet for the 2020s", CVPR 2022, arXiv 2201.03545."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("block", "conv", "norm")
    timm: ClassVar[tuple[str, ...]] = ("convnext_*", "convnextv2_*")
    classes: ClassVar[tuple[str, ...]] = ("ConvNeXt",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """After layer scale, before stochastic depth and the residual sum."""
        blocks = blocks_of(network, lambda _, module: type(module).__name__ == "ConvNeXtBlock")
        sites = list(weight_sites(network, inside(blocks), PARTS))
        for layer, name in enumerate(blocks):
            width = network.get_submodule(f"{name}.conv_dw").out_channels
            at = f"{name}.drop_path"
            sites.append(Site(at, "block", "backbone", layer, width, insert_before=True))
        return with_depths(sites)
