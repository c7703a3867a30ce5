"""Language models that read from left to right, of Llama's blocks, for classification.

A text's features are those of its last token, which alone has read all of it.
"""

from typing import ClassVar, Literal

from suite.backbones.family import TextFamily
from suite.backbones.sites import Network, Parts, Site, numbered, weight_sites, with_depths
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"self_attn\.q_proj": "query",
    r"self_attn\.k_proj": "key",
    r"self_attn\.v_proj": "value",
    r"self_attn\.o_proj": "attention_output",
    r"mlp\.(gate|up)_proj": "ff_hidden",
    r"mlp\.down_proj": "ff_output",
}
SUBLAYERS: tuple[tuple[SiteKind, str, str, str], ...] = (
    ("attention", "self_attn.o_proj", "self_attn", "input_layernorm"),
    ("feed_forward", "mlp.down_proj", "mlp", "post_attention_layernorm"),
)

STACK = "encoder"
"""A network of one stack has no decoder beside an encoder, which is what methods and costs ask."""


class Decoder(TextFamily):
    """Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", arXiv 2302.13971."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm", "keys")
    transformers: ClassVar[tuple[str, ...]] = ("llama", "mistral", "qwen2", "qwen3", "gemma")
    pooling: ClassVar[Literal["mean", "cls", "last"]] = "last"

    @classmethod
    def prepared(cls, network: Network) -> Network:
        """Without the cache of text generation."""
        network.config.use_cache = False
        return network

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """After the projections that end the sublayers, before the residual sums; positions are
        rotated by place, so that no tokens enter the sequence."""
        sites = list(weight_sites(network, numbered(r"layers\.(\d+)", STACK), PARTS))
        width = network.config.hidden_size
        for layer, block in enumerate(network.layers):
            at = f"layers.{layer}"
            keys = block.self_attn.k_proj.out_features
            own = f"{at}.self_attn"
            sites.append(Site(own, "keys", STACK, layer, keys, part="self"))
            for kind, end, entry, norm in SUBLAYERS:
                sites.append(
                    Site(
                        f"{at}.{end}",
                        kind,
                        STACK,
                        layer,
                        width,
                        entry=f"{at}.{entry}",
                        entry_norm=f"{at}.{norm}",
                    )
                )
        return with_depths(sites)
