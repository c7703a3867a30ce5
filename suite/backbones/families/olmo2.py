"""OLMo 2: Llama's blocks with the norms behind the sublayers."""

from typing import ClassVar

from suite.backbones.families.decoder import Decoder
from suite.backbones.sites import Sublayer


class Olmo2(Decoder):
    """OLMo Team, "2 OLMo 2 Furious", arXiv 2501.00656.

    Adapters follow the norm behind a sublayer, which is what joins the residual.
    """

    transformers: ClassVar[tuple[str, ...]] = ("olmo2",)
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer("attention", "post_attention_layernorm", "self_attn"),
        Sublayer("feed_forward", "post_feedforward_layernorm", "mlp"),
    )
