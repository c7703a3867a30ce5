"""Phi-3: Llama's blocks with fused projections."""

from typing import Any, ClassVar

from suite.backbones.families.decoder import Decoder
from suite.backbones.sites import Parts, Sublayer


class Phi3(Decoder):
    """Abdin et al., "Phi-3 Technical Report", arXiv 2404.14219."""

    transformers: ClassVar[tuple[str, ...]] = ("phi3",)
    parts: ClassVar[Parts] = {
        r"self_attn\.qkv_proj": "qkv",
        r"self_attn\.o_proj": "attention_output",
        r"mlp\.gate_up_proj": "ff_hidden",
        r"mlp\.down_proj": "ff_output",
    }
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer(
            "attention", "resid_attn_dropout", "self_attn", "input_layernorm", insert_before=True
        ),
        Sublayer(
            "feed_forward",
            "resid_mlp_dropout",
            "mlp",
            "post_attention_layernorm",
            insert_before=True,
        ),
    )

    @classmethod
    def key_width(cls, attention: Any) -> int:
        """Of all heads of keys, which several heads of queries may share."""
        return attention.num_key_value_heads * attention.head_dim
