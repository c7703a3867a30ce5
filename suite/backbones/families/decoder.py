"""Language models that read from left to right, of Llama's blocks.

They give features, those of a text's last token, which alone has read all of it; or they write the
answer after the text, if the backbone's entry has `form: text_to_text`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from suite.backbones.family import TextFamily
from suite.backbones.sites import (
    Network,
    Parts,
    Site,
    Sublayer,
    numbered,
    weight_sites,
    with_depths,
)
from suite.backbones.tokens import CausalSequence, TokenSequence
from suite.registry.families import Form
from suite.registry.schema import SiteKind

STACK = "encoder"
"""A network of one stack has no decoder beside an encoder, which is what methods and costs ask."""


class Decoder(TextFamily):
    """Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", arXiv 2302.13971."""

    other_forms: ClassVar[tuple[Form, ...]] = ("text_to_text",)
    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "tokens", "keys",
    )  # fmt: skip
    transformers: ClassVar[tuple[str, ...]] = (
        "llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "smollm3", "granite",
    )  # fmt: skip
    pooling: ClassVar[Literal["mean", "cls", "last"]] = "last"
    blocks: ClassVar[str] = "layers"
    """What the network calls the list of its blocks."""
    parts: ClassVar[Parts] = {
        r"self_attn\.q_proj": "query",
        r"self_attn\.k_proj": "key",
        r"self_attn\.v_proj": "value",
        r"self_attn\.o_proj": "attention_output",
        r"mlp\.(gate|up)_proj": "ff_hidden",
        r"mlp\.down_proj": "ff_output",
    }
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer("attention", "self_attn.o_proj", "self_attn", "input_layernorm"),
        Sublayer("feed_forward", "mlp.down_proj", "mlp", "post_attention_layernorm"),
    )

    @classmethod
    def pretrained(
        cls, folder: Path, form: Form, options: Mapping[str, Any]
    ) -> tuple[Network, Mapping[str, Any]]:
        """With the output layer, if it writes."""
        if form != "text_to_text":
            return super().pretrained(folder, form, options)
        from transformers import AutoModelForCausalLM

        found: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
        return found

    @classmethod
    def prepared(cls, network: Network) -> Network:
        """Without the cache of text generation."""
        network.config.use_cache = False
        return network

    @classmethod
    def inputs(cls, network: Network) -> Collection[str]:
        """Tokens and mask: there are no segments, whose numbers some would add as tokens."""
        return ("input_ids", "attention_mask")

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Where the sublayers end, before the residual sums."""
        layer_of = numbered(rf"(?:^|\.){cls.blocks}\.(\d+)", STACK)
        sites = list(weight_sites(network, layer_of, cls.parts))
        width = network.config.hidden_size
        # A network with an output layer has the other one inside.
        inner = network.base_model
        start = "" if inner is network else f"{network.base_model_prefix}."
        for layer, block in enumerate(getattr(inner, cls.blocks)):
            at = f"{start}{cls.blocks}.{layer}"
            attention = cls.sublayers[0].entry
            keys = cls.key_width(block.get_submodule(attention))
            sites.append(Site(at, "tokens", STACK, layer, width))
            sites.append(Site(f"{at}.{attention}", "keys", STACK, layer, keys, part="self"))
            sites += [each.site(at, STACK, layer, width) for each in cls.sublayers]
        return with_depths(sites)

    @classmethod
    def key_width(cls, attention: Any) -> int:
        """Of the keys of all heads of an attention layer, which several heads may share."""
        return attention.k_proj.out_features

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """In front of all tokens, whose positions stay as they are."""
        inner = network.base_model
        return CausalSequence(getattr(inner, cls.blocks), getattr(inner, "rotary_emb", None))
