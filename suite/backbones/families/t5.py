"""T5 and its relatives: an encoder-decoder that reads a text and writes the answer."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from suite.backbones.family import TextFamily
from suite.backbones.sites import Network, Parts, Site, weight_sites, with_depths
from suite.backbones.tokens import SourceSequence, TokenSequence
from suite.registry.families import Form
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"Attention\.q": "query",
    r"Attention\.k": "key",
    r"Attention\.v": "value",
    r"Attention\.o": "attention_output",
    r"DenseReluDense\.wi(_\d)?": "ff_hidden",
    r"DenseReluDense\.wo": "ff_output",
}


class T5(TextFamily):
    """Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
    Transformer", JMLR 2020, arXiv 1910.10683."""

    form: ClassVar[Form] = "text_to_text"
    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "head", "tokens", "keys",
    )  # fmt: skip
    transformers: ClassVar[tuple[str, ...]] = ("t5", "mt5", "umt5")

    @classmethod
    def pretrained(
        cls, folder: Path, form: Form, options: Mapping[str, Any]
    ) -> tuple[Network, Mapping[str, Any]]:
        """With the output layer, which writes."""
        from transformers import AutoModelForSeq2SeqLM

        # Its attention adds a bias for each distance, which no fused kernel of the CPU takes: torch
        # then runs its slow path, and a step costs 1.4 of what the plain operations do.
        return AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager", **options)

    @classmethod
    def width(cls, network: Network) -> int:
        """Of both stacks."""
        return network.config.d_model

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Self-attention and feed-forward of every encoder and decoder block; cross-attention has
        weights, norms and keys but no insertion site (Karimi Mahabadi et al. 2021, section 2)."""

        def layer_of(name: str) -> tuple[str, int]:
            stack = "decoder" if name.startswith("decoder") else "encoder"
            match = re.search(r"\.block\.(\d+)", name)
            return stack, int(match[1]) if match else -1

        sites = list(weight_sites(network, layer_of, PARTS))
        width = network.config.d_model
        keys = network.config.num_heads * network.config.d_kv
        for stack in ("encoder", "decoder"):
            for layer, block in enumerate(getattr(network, stack).block):
                name = f"{stack}.block.{layer}"
                own = f"{name}.layer.0.SelfAttention"
                if stack == "encoder":
                    sites.append(Site(name, "tokens", stack, layer, width))
                sites.append(Site(own, "keys", stack, layer, keys, part="self"))
                if stack == "decoder":
                    other = f"{name}.layer.1.EncDecAttention"
                    sites.append(Site(other, "keys", stack, layer, keys, part="cross"))
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
        return with_depths(sites)

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """That of the encoder, all of which the decoder reads."""
        return SourceSequence(network)

    @classmethod
    def relative_positions(cls, network: Network, stack: str) -> nn.Module | None:
        """The self-attention of the stack's first block."""
        return getattr(network, stack).block[0].layer[0].SelfAttention
