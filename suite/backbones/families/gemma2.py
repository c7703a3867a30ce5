"""Gemma 2: Llama's blocks with norms on both sides of every sublayer."""

from typing import ClassVar

from suite.backbones.families.decoder import Decoder
from suite.backbones.sites import Sublayer


class Gemma2(Decoder):
    """Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", arXiv 2408.00118.

    Adapters follow the norm behind a sublayer, which is what joins the residual.
    """

    transformers: ClassVar[tuple[str, ...]] = ("gemma2",)
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer("attention", "post_attention_layernorm", "self_attn", "input_layernorm"),
        Sublayer("feed_forward", "post_feedforward_layernorm", "mlp", "pre_feedforward_layernorm"),
    )
