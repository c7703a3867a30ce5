"""Adaptation sites: where a method may insert, replace or train, the same words on every family.

`attention`, `feed_forward` and `block` sites name the module through which a sublayer's output
flows into its residual (or, in a DenseNet, into the concatenation): `Backbone.insert` puts a module
there. `conv` and `linear` sites are the weights themselves, `norm` the normalisation layers,
`patch_embedding` the first projection of a ViT and `head` an output layer of the backbone's own.
`tokens` sites name the blocks whose incoming sequence `Backbone.insert_tokens` adds to (every block
of an encoder), `keys` sites the attention layers that `Backbone.insert_prefix` gives more keys and
values (self-attention and, in a decoder, cross-attention).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from suite.backbones.layers import is_norm
from suite.registry.schema import SiteKind

Part = Literal[
    "query", "key", "value", "qkv", "attention_output", "ff_hidden", "ff_output",
    "shortcut", "block_output", "self", "cross", "",
]  # fmt: skip
Parts = Mapping[str, Part]
"""Patterns of the end of a dotted name -> what the linear layer of that name does."""

Network = Any
"""A network of its family's own class: those of transformers, timm, torchvision and this package
share no type that says what they are made of."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place in a backbone.

    `layer` counts blocks from 0 within a `stack` (-1 outside any block), `depth` through the whole
    network: what follows a block belongs to it, what precedes all blocks has depth -1. `width` is
    the number of output features or channels. `part` says what a linear site does in its sublayer,
    that a convolution of a ResNet is its block's shortcut or the last one beside the shortcut, or
    whether the keys of a `keys` site are those of the sequence itself or of another one.
    A sublayer's input goes to the module `entry`, after the norm `entry_norm` if there is one.
    """

    name: str
    kind: SiteKind
    stack: str
    layer: int
    width: int
    insert_before: bool = False
    part: Part = ""
    depth: int = -1
    entry: str = ""
    entry_norm: str = ""


@dataclass(frozen=True, slots=True)
class Sublayer:
    """Where a method acts on a sublayer, by names within its block: it joins the residual at `end`,
    and its input goes to `entry` after `norm`, if there is one."""

    kind: SiteKind
    end: str
    entry: str = ""
    norm: str = ""
    insert_before: bool = False

    def site(self, block: str, stack: str, layer: int, width: int) -> Site:
        """The site of this sublayer in a block."""
        return Site(
            f"{block}.{self.end}",
            self.kind,
            stack,
            layer,
            width,
            insert_before=self.insert_before,
            entry=self.entry and f"{block}.{self.entry}",
            entry_norm=self.norm and f"{block}.{self.norm}",
        )


def weight_sites(
    network: nn.Module,
    layer_of: Callable[[str], tuple[str, int]],
    parts: Parts = MappingProxyType({}),
) -> Iterator[Site]:
    """The sites with weights of their own."""
    for name, module in network.named_modules():
        stack, layer = layer_of(name)
        if isinstance(module, nn.Conv2d):
            kind: SiteKind = "patch_embedding" if name.startswith("patch_embed") else "conv"
            yield Site(name, kind, stack, layer, module.out_channels, entry=name)
        elif isinstance(module, nn.Linear):
            kind = "head" if name == "lm_head" else "linear"
            part: Part = next((p for end, p in parts.items() if re.search(end + "$", name)), "")
            yield Site(name, kind, stack, layer, module.out_features, part=part)
        elif is_norm(module):
            yield Site(name, "norm", stack, layer, module.get_parameter("weight").numel())


def numbered(pattern: str, stack: str) -> Callable[[str], tuple[str, int]]:
    """Layer of a dotted name by the first number that `pattern` captures."""
    compiled = re.compile(pattern)

    def layer_of(name: str) -> tuple[str, int]:
        match = compiled.search(name)
        return (stack, int(match[1])) if match else (stack, -1)

    return layer_of


def blocks_of(network: nn.Module, is_block: Callable[[str, nn.Module], bool]) -> list[str]:
    """The dotted names of the modules that are blocks, in the network's order."""
    return [name for name, module in network.named_modules() if is_block(name, module)]


def inside(blocks: list[str], stack: str = "backbone") -> Callable[[str], tuple[str, int]]:
    """Layer of a dotted name by the block it lies in."""

    def layer_of(name: str) -> tuple[str, int]:
        layers = (i for i, block in enumerate(blocks) if name.startswith(f"{block}."))
        return stack, next(layers, -1)

    return layer_of


def with_depths(sites: Iterable[Site]) -> tuple[Site, ...]:
    """The sites with their depths, those of an encoder's blocks before those of a decoder's."""
    blocks: dict[tuple[str, int], int] = {}
    placed = []
    for site in sites:
        if site.layer >= 0:
            depth = blocks.setdefault((site.stack, site.layer), len(blocks))
        else:
            depth = len(blocks) - 1
        placed.append(replace(site, depth=depth))
    return tuple(placed)


def block_names(sites: Iterable[Site]) -> dict[str, int]:
    """The dotted name of every block, which is what the names of its sites have in common, and its
    depth."""
    inside: dict[int, list[list[str]]] = {}
    for site in sites:
        if site.layer >= 0:
            inside.setdefault(site.depth, []).append(site.name.split("."))
    blocks = {}
    for depth, names in inside.items():
        # Names differ in length; what they have in common is at their beginning.
        common = takewhile(lambda words: len(set(words)) == 1, zip(*names, strict=False))
        blocks[".".join(words[0] for words in common)] = depth
    return blocks
