"""The residual network of the Visual Decathlon: images [B, 3, H, W] to pooled features [B, D]."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.cifar import BasicBlock


class PooledShortcut(nn.Module):
    """Parameter-free shortcut: average over 2 x 2 pixels, then as many zero channels again."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, 2 C, H / 2, W / 2]."""
        pooled = F.avg_pool2d(x, 2)
        return torch.cat((pooled, torch.zeros_like(pooled)), 1)


class DecathlonResNet(nn.Module):
    """The ResNet of Rebuffi et al. 2017, section 3.4, without classifier.

    Three stages of `blocks` blocks, of which the first halves the image and doubles the channels,
    and a norm behind the last. ResNet-26 has `blocks` 4 and 32 channels before the first stage.
    """

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, blocks)
        self.layer2 = self._stage(2 * width, blocks)
        self.layer3 = self._stage(4 * width, blocks)
        self.num_features = 8 * width
        self.norm = nn.BatchNorm2d(self.num_features)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    @staticmethod
    def _stage(in_channels: int, blocks: int) -> nn.Sequential:
        first = BasicBlock(in_channels, 2 * in_channels, 2)
        first.add_module("shortcut", PooledShortcut())
        others = (BasicBlock(2 * in_channels, 2 * in_channels, 1) for _ in range(blocks - 1))
        return nn.Sequential(first, *others)

    def forward(self, x: Tensor) -> Tensor:
        """Return pooled features [B, 8 * width]. H and W must be multiples of 8."""
        x = self.bn1(self.conv1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.pool(self.relu(self.norm(x))).flatten(1)
