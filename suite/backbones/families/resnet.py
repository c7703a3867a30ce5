"""Residual networks whose blocks end in a norm: ResNet, ResNeXt, and those with group norms."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from suite.backbones import cifar
from suite.backbones.family import ImageFamily
from suite.backbones.of_transformers import Checkpoint, renamed
from suite.backbones.sites import (
    Network,
    Part,
    Site,
    blocks_of,
    inside,
    weight_sites,
    with_depths,
)
from suite.registry.schema import BackboneEntry, SiteKind

OUTSIDE = {"conv1": "embedder.embedder.convolution", "bn1": "embedder.embedder.normalization"}
"""Names of timm, and those in a file of transformers."""
WITHIN = {
    **{f"conv{n}": f"layer.{n - 1}.convolution" for n in (1, 2, 3)},
    **{f"bn{n}": f"layer.{n - 1}.normalization" for n in (1, 2, 3)},
    "downsample.0": "shortcut.convolution",
    "downsample.1": "shortcut.normalization",
}
"""The same within a block."""


class ResNet(ImageFamily):
    """He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("block", "conv", "norm")
    timm: ClassVar[tuple[str, ...]] = (
        "resnet*", "resnext*", "wide_resnet*", "seresnet*", "seresnext*", "ecaresnet*",
        "ecaresnext*", "skresnet*", "skresnext*",
    )  # fmt: skip
    transformers: ClassVar[tuple[str, ...]] = ("resnet",)
    classes: ClassVar[tuple[str, ...]] = ("ResNet",)

    @classmethod
    def of_transformers(cls, entry: BackboneEntry, folder: Path) -> Network:
        """The same layers under other names."""
        from timm.models import resnet

        served = {"hidden_act": "relu", "embedding_size": 64}
        strides = {"downsample_in_first_stage": False, "downsample_in_bottleneck": False}
        found = Checkpoint(folder, **served, **strides)
        config = found.config
        block: Any = resnet.BasicBlock if config.layer_type == "basic" else resnet.Bottleneck
        network = resnet.ResNet(
            block,
            config.depths,
            channels=tuple(width // block.expansion for width in config.hidden_sizes),
            num_classes=0,
        )
        found.fill(network, _names_in_transformers)
        return network

    @classmethod
    def small(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """The form for CIFAR."""
        return cifar.resnet(**arguments)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """The last norm of every residual branch, before the shortcut is added."""
        blocks = blocks_of(network, lambda _, m: type(m).__name__ in ("BasicBlock", "Bottleneck"))
        ends = [3 if hasattr(network.get_submodule(name), "bn3") else 2 for name in blocks]
        parts: dict[str, Part] = {
            f"{name}.conv{end}": "block_output" for name, end in zip(blocks, ends, strict=True)
        }
        sites = []
        for site in weight_sites(network, inside(blocks)):
            shortcut = site.kind == "conv" and ".downsample." in site.name
            sites.append(replace(site, part="shortcut" if shortcut else parts.get(site.name, "")))
        for layer, (name, end) in enumerate(zip(blocks, ends, strict=True)):
            width = network.get_submodule(f"{name}.bn{end}").weight.numel()
            sites.append(Site(f"{name}.bn{end}", "block", "backbone", layer, width))
        return with_depths(sites)


def branch_sites(network: Network, last: Mapping[str, str]) -> tuple[Site, ...]:
    """The sites of a network of timm whose blocks drop their residual branch before the shortcut is
    added; `last` has every block and the last convolution of its branch."""
    sites = [
        replace(site, part="shortcut")
        if site.kind == "conv" and ".downsample." in site.name
        else replace(site, part="block_output")
        if site.name in last.values()
        else site
        for site in weight_sites(network, inside(list(last)))
    ]
    for layer, (name, conv) in enumerate(last.items()):
        width = network.get_submodule(conv).out_channels
        at = f"{name}.drop_path"
        sites.append(Site(at, "block", "backbone", layer, width, insert_before=True))
    return with_depths(sites)


def _names_in_transformers(name: str) -> list[str]:
    if not name.startswith("layer"):
        return [renamed(name, OUTSIDE)]
    stage, layer, rest = name.split(".", 2)
    number = int(stage.removeprefix("layer")) - 1
    return [f"encoder.stages.{number}.layers.{layer}.{renamed(rest, WITHIN)}"]
