"""Adaptation sites: where a method may insert, replace or train, the same words on every family.

`attention`, `feed_forward` and `block` sites name the module through which a sublayer's output
flows into its residual (or, in a DenseNet, into the concatenation): `Backbone.insert` puts a module
there. `conv` and `linear` sites are the weights themselves, `norm` the normalisation layers,
`patch_embedding` the first projection of a ViT and `head` an output layer of the backbone's own.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from suite.registry.schema import Family, SiteKind


@dataclass(frozen=True, slots=True)
class Site:
    """One place in a backbone.

    `layer` counts blocks from 0 within a `stack` (-1 outside any block); `width` is the number of
    output features or channels.
    """

    name: str
    kind: SiteKind
    stack: str
    layer: int
    width: int
    insert_before: bool = False


def _weight_sites(network: nn.Module, layer_of: Callable[[str], tuple[str, int]]) -> Iterator[Site]:
    for name, module in network.named_modules():
        stack, layer = layer_of(name)
        if isinstance(module, nn.Conv2d):
            kind = "patch_embedding" if name.startswith("patch_embed") else "conv"
            yield Site(name, kind, stack, layer, module.out_channels)
        elif isinstance(module, nn.Linear):
            kind = "head" if name == "lm_head" else "linear"
            yield Site(name, kind, stack, layer, module.out_features)
        elif isinstance(module, nn.BatchNorm2d):
            yield Site(name, "norm", stack, layer, module.num_features)
        elif type(module).__name__.endswith(("LayerNorm", "RMSNorm")):
            yield Site(name, "norm", stack, layer, module.weight.numel())


def _numbered(pattern: str, stack: str) -> Callable[[str], tuple[str, int]]:
    """Layer of a dotted name by the first number that `pattern` captures."""
    compiled = re.compile(pattern)

    def layer_of(name: str) -> tuple[str, int]:
        match = compiled.search(name)
        return (stack, int(match[1])) if match else (stack, -1)

    return layer_of


def t5_sites(network: nn.Module) -> tuple[Site, ...]:
    """Self-attention and feed-forward of every encoder and decoder block; cross-attention has
    weights and norms but no insertion site (Karimi Mahabadi et al. 2021, section 2)."""

    def layer_of(name: str) -> tuple[str, int]:
        stack = "decoder" if name.startswith("decoder") else "encoder"
        match = re.search(r"\.block\.(\d+)", name)
        return stack, int(match[1]) if match else -1

    sites = list(_weight_sites(network, layer_of))
    width = network.config.d_model
    for stack in ("encoder", "decoder"):
        for layer, block in enumerate(getattr(network, stack).block):
            last = len(block.layer) - 1
            prefix = f"{stack}.block.{layer}.layer"
            sites.append(Site(f"{prefix}.0.dropout", "attention", stack, layer, width, True))
            sites.append(
                Site(f"{prefix}.{last}.dropout", "feed_forward", stack, layer, width, True)
            )
    return tuple(sites)


def bert_sites(network: nn.Module) -> tuple[Site, ...]:
    """Houlsby's positions: after output projection and dropout, before residual and norm."""
    sites = list(_weight_sites(network, _numbered(r"encoder\.layer\.(\d+)", "encoder")))
    width = network.config.hidden_size
    for layer in range(len(network.encoder.layer)):
        prefix = f"encoder.layer.{layer}"
        sites.append(
            Site(f"{prefix}.attention.output.dropout", "attention", "encoder", layer, width)
        )
        sites.append(Site(f"{prefix}.output.dropout", "feed_forward", "encoder", layer, width))
    return tuple(sites)


def vit_sites(network: nn.Module) -> tuple[Site, ...]:
    """After layer scale, before stochastic depth and the residual sum of a timm block."""
    sites = list(_weight_sites(network, _numbered(r"blocks\.(\d+)", "encoder")))
    width = network.embed_dim
    for layer in range(len(network.blocks)):
        prefix = f"blocks.{layer}.drop_path"
        sites.append(Site(f"{prefix}1", "attention", "encoder", layer, width, True))
        sites.append(Site(f"{prefix}2", "feed_forward", "encoder", layer, width, True))
    return tuple(sites)


def resnet_sites(network: nn.Module) -> tuple[Site, ...]:
    """The last norm of every residual branch, before the shortcut is added."""
    sites = list(_weight_sites(network, lambda _: ("backbone", -1)))
    layer = 0
    for name, module in network.named_modules():
        if type(module).__name__ in ("BasicBlock", "Bottleneck"):
            last = "bn3" if hasattr(module, "bn3") else "bn2"
            width = getattr(module, last).num_features
            sites.append(Site(f"{name}.{last}", "block", "backbone", layer, width))
            layer += 1
    return tuple(sites)


def densenet_sites(network: nn.Module) -> tuple[Site, ...]:
    """The last convolution of every dense layer, before its maps join the concatenation."""
    sites = list(_weight_sites(network, lambda _: ("backbone", -1)))
    layer = 0
    for name, module in network.named_modules():
        if re.search(r"denselayer\d+$", name):
            width = module.conv2.out_channels
            sites.append(Site(f"{name}.conv2", "block", "backbone", layer, width))
            layer += 1
    return tuple(sites)


SITES: dict[Family, Callable[[nn.Module], tuple[Site, ...]]] = {
    "t5": t5_sites,
    "bert": bert_sites,
    "vit": vit_sites,
    "resnet": resnet_sites,
    "densenet": densenet_sites,
}
