"""Densely connected networks: every layer adds its maps to those of all before it."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from suite.backbones import cifar
from suite.backbones.family import ImageFamily
from suite.backbones.sites import Network, Site, blocks_of, inside, weight_sites, with_depths
from suite.registry.schema import SiteKind


class DenseNet(ImageFamily):
    """Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, arXiv 1608.06993."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("block", "conv", "norm")
    timm: ClassVar[tuple[str, ...]] = ("densenet*",)
    classes: ClassVar[tuple[str, ...]] = ("DenseNet",)

    @classmethod
    def small(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """The form for CIFAR."""
        return cifar.densenet(**arguments)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """The last convolution of every dense layer, before its maps join the concatenation."""
        blocks = blocks_of(network, lambda name, _: bool(re.search(r"denselayer\d+$", name)))
        sites = list(weight_sites(network, inside(blocks)))
        for layer, name in enumerate(blocks):
            width = network.get_submodule(name).conv2.out_channels
            sites.append(Site(f"{name}.conv2", "block", "backbone", layer, width))
        return with_depths(sites)
