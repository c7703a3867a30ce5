"""Small image networks: the CIFAR forms of ResNet and DenseNet-BC, and a small ViT.

Every builder returns a network without classifier: images [B, 3, H, W] (normalised floats) to
pooled features [B, D], with D in the attribute `num_features`. All parameters live in named Conv2d,
Linear and normalisation modules that are called as modules, so that a method can replace or follow
any of them; the residual branch of a ResNet block ends in its `bn2`. Each library is imported only
where it is used: a network that needs none starts sooner.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PaddedShortcut(nn.Module):
    """Parameter-free shortcut (option A of He et al. 2015): subsample, then pad with zero channels.

    The new channels are split evenly before and after the old ones, as in the published CIFAR
    checkpoints.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, out_channels, ceil(H / stride), ceil(W / stride)]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2015, section 3.3)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else PaddedShortcut(in_channels, out_channels, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, [B, out_channels, H / stride, W / stride]."""
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return self.relu2(branch + self.shortcut(x))


class CifarResNet(nn.Module):
    """The 6n+2 layer ResNet for small images (He et al. 2015, section 4.2), without classifier."""

    def __init__(self, depth: int, width: int = 16) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"a CIFAR ResNet has 6n+2 layers (8, 14, 20, ...), not {depth}")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = self._stage(width, width, 1, blocks)
        self.layer2 = self._stage(width, 2 * width, 2, blocks)
        self.layer3 = self._stage(2 * width, 4 * width, 2, blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.num_features = 4 * width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(in_channels: int, out_channels: int, stride: int, blocks: int) -> nn.Sequential:
        first = BasicBlock(in_channels, out_channels, stride)
        return nn.Sequential(
            first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return pooled features [B, 4 * width]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.pool(x).flatten(1)


def resnet(depth: int, width: int = 16) -> nn.Module:
    """Build the CIFAR ResNet with `depth` = 6n+2 layers; features [B, 4 * width]."""
    return CifarResNet(depth, width)


def densenet(
    growth: int, blocks: Sequence[int], initial: int | None = None, bottleneck: int = 4
) -> nn.Module:
    """Build DenseNet-BC for small images (Huang et al. 2017, section 4.2).

    torchvision's DenseNet with the paper's CIFAR stem: one 3x3 convolution to `initial` channels
    (default 2 * growth), no norm and no pooling. Compression is 0.5.
    """
    from torchvision.models import DenseNet

    initial = 2 * growth if initial is None else initial
    network = DenseNet(growth, tuple(blocks), initial, bottleneck)
    network.features.conv0 = nn.Conv2d(3, initial, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.features.conv0.weight)
    del network.features.norm0, network.features.relu0, network.features.pool0
    network.num_features = network.classifier.in_features
    network.classifier = nn.Identity()
    return network


def vit(image_size: int, patch_size: int, width: int, depth: int, heads: int) -> nn.Module:
    """Build timm's ViT (Dosovitskiy et al. 2021) with mean-pooled patch tokens.

    `image_size` and `patch_size` are in pixels; images of another size are refused. Features
    [B, width].
    """
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        num_classes=0,
        class_token=False,
        global_pool="avg",
    )


def published_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published CIFAR ResNet or DenseNet-BC checkpoint to this module's names.

    Drops the data-parallel prefix and the classifier. BatchNorm's step counters, which some
    checkpoints lack and no computation reads, are filled with zero so that the result loads
    strictly.
    """
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        name = name.removeprefix("module.")
        if not name.startswith(("linear.", "fc.")):
            renamed[_densenet_name(name)] = value
    for name in [name for name in renamed if name.endswith("running_var")]:
        counter = name.removesuffix("running_var") + "num_batches_tracked"
        renamed.setdefault(counter, torch.tensor(0))
    return renamed


def _densenet_name(name: str) -> str:
    """Map one DenseNet parameter name to torchvision's; other names pass unchanged."""
    parts = name.split(".")
    if parts[0] == "conv0":
        return f"features.{name}"
    if parts[0] == "bn":
        return f"features.norm5.{parts[1]}"
    if parts[0] == "features" and parts[2] == "block":
        layer = f"denselayer{int(parts[3]) + 1}"
        return ".".join(["features", parts[1], layer, parts[4].replace("bn", "norm"), parts[5]])
    if parts[0] == "features" and parts[2] == "bn":
        return ".".join(["features", parts[1], "norm", parts[3]])
    return name
