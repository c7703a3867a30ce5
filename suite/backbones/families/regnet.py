"""RegNets: residual networks of grouped convolutions whose widths grow by a rule."""

from typing import ClassVar

from suite.backbones.families.resnet import ResNet, branch_sites
from suite.backbones.sites import Network, Site, blocks_of


class RegNet(ResNet):
    """Radosavovic et al., "Designing Network Design Spaces", CVPR 2020, arXiv 2003.13678."""

    timm: ClassVar[tuple[str, ...]] = ("regnetx_*", "regnety_*")
    classes: ClassVar[tuple[str, ...]] = ("RegNet",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """The end of every residual branch, before the shortcut is added."""
        blocks = blocks_of(network, lambda _, module: type(module).__name__ == "Bottleneck")
        last = {name: f"{name}.conv3.conv" for name in blocks}
        return branch_sites(network, last)
