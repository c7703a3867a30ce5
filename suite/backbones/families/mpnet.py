"""MPNet: BERT's blocks with relative positions."""

from typing import ClassVar

from suite.backbones.families.bert import FEED_FORWARD, Bert
from suite.backbones.sites import Parts, Sublayer
from suite.registry.schema import SiteKind


class MPNet(Bert):
    """Song et al., "MPNet: Masked and Permuted Pre-training for Language Understanding", NeurIPS
    2020, arXiv 2004.09297.

    The sequence must fit relative positions, so that no tokens enter it.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm")
    transformers: ClassVar[tuple[str, ...]] = ("mpnet",)
    parts: ClassVar[Parts] = {
        r"attn\.q": "query",
        r"attn\.k": "key",
        r"attn\.v": "value",
        r"attn\.o": "attention_output",
        r"intermediate\.dense": "ff_hidden",
        r"output\.dense": "ff_output",
    }
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer("attention", "attention.dropout", "attention"),
        FEED_FORWARD,
    )
