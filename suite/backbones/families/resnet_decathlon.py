"""The residual network of the Visual Decathlon, in all else a ResNet."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from suite.backbones.decathlon import DecathlonResNet
from suite.backbones.families.resnet import ResNet


class ResNetDecathlon(ResNet):
    """Rebuffi, Bilen and Vedaldi, "Learning Multiple Visual Domains with Residual Adapters", NIPS
    2017, arXiv 1705.08045."""

    timm: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def small(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """The network of a number of blocks and channels."""
        return DecathlonResNet(**arguments)
