"""RegNets: residual networks of grouped convolutions whose widths grow by a rule."""

from dataclasses import replace
from typing import ClassVar

from suite.backbones.families.resnet import ResNet
from suite.backbones.sites import Network, Site, blocks_of, inside, weight_sites, with_depths


class RegNet(ResNet):
    """Radosavovic et al., "Designing Network Design Spaces", CVPR 2020, arXiv 2003.13678."""

    timm: ClassVar[tuple[str, ...]] = ("regnetx_*", "regnety_*")
    classes: ClassVar[tuple[str, ...]] = ("RegNet",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """The end of every residual branch, before the shortcut is added."""
        blocks = blocks_of(network, lambda _, module: type(module).__name__ == "Bottleneck")
        last = {name: f"{name}.conv3.conv" for name in blocks}
        sites = [
            replace(site, part="shortcut")
            if site.kind == "conv" and ".downsample." in site.name
            else replace(site, part="block_output")
            if site.name in last.values()
            else site
            for site in weight_sites(network, inside(blocks))
        ]
        for layer, (name, conv) in enumerate(last.items()):
            width = network.get_submodule(conv).out_channels
            at = f"{name}.drop_path"
            sites.append(Site(at, "block", "backbone", layer, width, insert_before=True))
        return with_depths(sites)
