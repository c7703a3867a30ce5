"""ResNets whose norms come first, with weight standardisation and group norms in BiT."""

from typing import ClassVar

from suite.backbones.families.resnet import ResNet, branch_sites
from suite.backbones.sites import Network, Site, blocks_of

BLOCKS = ("PreActBasic", "PreActBottleneck", "Bottleneck")


class ResNetV2(ResNet):
    """He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv 1603.05027;
    Kolesnikov et al., "Big Transfer", ECCV 2020, arXiv 1912.11370."""

    timm: ClassVar[tuple[str, ...]] = ("resnetv2_*",)
    classes: ClassVar[tuple[str, ...]] = ("ResNetV2",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """The end of every residual branch, before the shortcut is added."""
        blocks = blocks_of(network, lambda _, module: type(module).__name__ in BLOCKS)
        last = {
            name: f"{name}.conv{3 if hasattr(network.get_submodule(name), 'conv3') else 2}"
            for name in blocks
        }
        return branch_sites(network, last)
