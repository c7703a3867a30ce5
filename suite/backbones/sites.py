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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

from torch import nn

from suite.backbones.layers import is_norm
from suite.registry.schema import Family, SiteKind

Part = Literal[
    "query", "key", "value", "qkv", "attention_output", "ff_hidden", "ff_output",
    "shortcut", "block_output", "self", "cross", "",
]  # fmt: skip

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


def _weight_sites(
    network: nn.Module,
    layer_of: Callable[[str], tuple[str, int]],
    parts: dict[str, Part] | None = None,
) -> Iterator[Site]:
    """The sites with weights of their own; `parts` maps patterns of names to parts."""
    parts = parts or {}
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


def _numbered(pattern: str, stack: str) -> Callable[[str], tuple[str, int]]:
    """Layer of a dotted name by the first number that `pattern` captures."""
    compiled = re.compile(pattern)

    def layer_of(name: str) -> tuple[str, int]:
        match = compiled.search(name)
        return (stack, int(match[1])) if match else (stack, -1)

    return layer_of


def _blocks(network: nn.Module, is_block: Callable[[str, nn.Module], bool]) -> list[str]:
    return [name for name, module in network.named_modules() if is_block(name, module)]


def _inside(blocks: list[str]) -> Callable[[str], tuple[str, int]]:
    """Layer of a dotted name by the block it lies in."""

    def layer_of(name: str) -> tuple[str, int]:
        layers = (i for i, block in enumerate(blocks) if name.startswith(f"{block}."))
        return "backbone", next(layers, -1)

    return layer_of


def _with_depths(sites: Iterable[Site]) -> tuple[Site, ...]:
    blocks: dict[tuple[str, int], int] = {}
    placed = []
    for site in sites:
        if site.layer >= 0:
            depth = blocks.setdefault((site.stack, site.layer), len(blocks))
        else:
            depth = len(blocks) - 1
        placed.append(replace(site, depth=depth))
    return tuple(placed)


def _keys(name: str, stack: str, layer: int, width: int, part: Part) -> Site:
    return Site(name, "keys", stack, layer, width, part=part)


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


def t5_sites(network: Network) -> tuple[Site, ...]:
    """Self-attention and feed-forward of every encoder and decoder block; cross-attention has
    weights, norms and keys but no insertion site (Karimi Mahabadi et al. 2021, section 2)."""

    def layer_of(name: str) -> tuple[str, int]:
        stack = "decoder" if name.startswith("decoder") else "encoder"
        match = re.search(r"\.block\.(\d+)", name)
        return stack, int(match[1]) if match else -1

    sites = list(_weight_sites(network, layer_of, T5_PARTS))
    width = network.config.d_model
    keys = network.config.num_heads * network.config.d_kv
    for stack in ("encoder", "decoder"):
        for layer, block in enumerate(getattr(network, stack).block):
            name = f"{stack}.block.{layer}"
            if stack == "encoder":
                sites.append(Site(name, "tokens", stack, layer, width))
            sites.append(_keys(f"{name}.layer.0.SelfAttention", stack, layer, keys, "self"))
            if stack == "decoder":
                sites.append(_keys(f"{name}.layer.1.EncDecAttention", stack, layer, keys, "cross"))
            sublayers: tuple[tuple[SiteKind, int, str], ...] = (
                ("attention", 0, "SelfAttention"),
                ("feed_forward", len(block.layer) - 1, "DenseReluDense"),
            )
            for kind, index, entry in sublayers:
                prefix = f"{name}.layer.{index}"
                sites.append(
                    Site(
                        f"{prefix}.dropout",
                        kind,
                        stack,
                        layer,
                        width,
                        insert_before=True,
                        entry=f"{prefix}.{entry}",
                        entry_norm=f"{prefix}.layer_norm",
                    )
                )
    return _with_depths(sites)


T5_PARTS: dict[str, Part] = {
    r"Attention\.q": "query",
    r"Attention\.k": "key",
    r"Attention\.v": "value",
    r"Attention\.o": "attention_output",
    r"DenseReluDense\.wi(_\d)?": "ff_hidden",
    r"DenseReluDense\.wo": "ff_output",
}


def bert_sites(network: Network) -> tuple[Site, ...]:
    """Houlsby's positions: after output projection and dropout, before residual and norm."""
    layer_of = _numbered(r"encoder\.layer\.(\d+)", "encoder")
    sites = list(_weight_sites(network, layer_of, BERT_PARTS))
    width = network.config.hidden_size
    for layer in range(len(network.encoder.layer)):
        prefix = f"encoder.layer.{layer}"
        sites.append(Site(prefix, "tokens", "encoder", layer, width))
        sites.append(_keys(f"{prefix}.attention.self", "encoder", layer, width, "self"))
        for kind, name, entry in BERT_SUBLAYERS:
            sites.append(
                Site(f"{prefix}.{name}", kind, "encoder", layer, width, entry=f"{prefix}.{entry}")
            )
    return _with_depths(sites)


BERT_SUBLAYERS: tuple[tuple[SiteKind, str, str], ...] = (
    ("attention", "attention.output.dropout", "attention"),
    ("feed_forward", "output.dropout", "intermediate"),
)
BERT_PARTS: dict[str, Part] = {
    r"self\.query": "query",
    r"self\.key": "key",
    r"self\.value": "value",
    r"attention\.output\.dense": "attention_output",
    r"intermediate\.dense": "ff_hidden",
    r"output\.dense": "ff_output",
}


def vit_sites(network: Network) -> tuple[Site, ...]:
    """After layer scale, before stochastic depth and the residual sum of a timm block."""
    sites = list(_weight_sites(network, _numbered(r"blocks\.(\d+)", "encoder"), VIT_PARTS))
    width = network.embed_dim
    for layer in range(len(network.blocks)):
        prefix = f"blocks.{layer}"
        sites.append(Site(prefix, "tokens", "encoder", layer, width))
        for kind, number, entry in VIT_SUBLAYERS:
            sites.append(
                Site(
                    f"{prefix}.drop_path{number}",
                    kind,
                    "encoder",
                    layer,
                    width,
                    insert_before=True,
                    entry=f"{prefix}.{entry}",
                    entry_norm=f"{prefix}.norm{number}",
                )
            )
    return _with_depths(sites)


VIT_SUBLAYERS: tuple[tuple[SiteKind, int, str], ...] = (
    ("attention", 1, "attn"),
    ("feed_forward", 2, "mlp"),
)
VIT_PARTS: dict[str, Part] = {
    r"attn\.qkv": "qkv",
    r"attn\.proj": "attention_output",
    r"mlp\.fc1": "ff_hidden",
    r"mlp\.fc2": "ff_output",
}


def resnet_sites(network: Network) -> tuple[Site, ...]:
    """The last norm of every residual branch, before the shortcut is added."""
    blocks = _blocks(network, lambda _, m: type(m).__name__ in ("BasicBlock", "Bottleneck"))
    ends = [3 if hasattr(network.get_submodule(name), "bn3") else 2 for name in blocks]
    parts: dict[str, Part] = {
        f"{name}.conv{end}": "block_output" for name, end in zip(blocks, ends, strict=True)
    }
    sites = []
    for site in _weight_sites(network, _inside(blocks)):
        shortcut = site.kind == "conv" and ".downsample." in site.name
        sites.append(replace(site, part="shortcut" if shortcut else parts.get(site.name, "")))
    for layer, (name, end) in enumerate(zip(blocks, ends, strict=True)):
        width = network.get_submodule(f"{name}.bn{end}").num_features
        sites.append(Site(f"{name}.bn{end}", "block", "backbone", layer, width))
    return _with_depths(sites)


def densenet_sites(network: Network) -> tuple[Site, ...]:
    """The last convolution of every dense layer, before its maps join the concatenation."""
    blocks = _blocks(network, lambda name, _: bool(re.search(r"denselayer\d+$", name)))
    sites = list(_weight_sites(network, _inside(blocks)))
    for layer, name in enumerate(blocks):
        width = network.get_submodule(name).conv2.out_channels
        sites.append(Site(f"{name}.conv2", "block", "backbone", layer, width))
    return _with_depths(sites)


SITES: dict[Family, Callable[[Network], tuple[Site, ...]]] = {
    "t5": t5_sites,
    "bert": bert_sites,
    "vit": vit_sites,
    "resnet": resnet_sites,
    "densenet": densenet_sites,
}
