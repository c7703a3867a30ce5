"""DeBERTa, versions 2 and 3: attention to contents and to relative positions apart."""

from typing import ClassVar

from suite.backbones.families.bert import PARTS, Bert
from suite.backbones.sites import Parts
from suite.registry.schema import SiteKind


class Deberta(Bert):
    """He et al., "DeBERTaV3", ICLR 2023, arXiv 2111.09543.

    The sequence must fit relative positions, so that no tokens enter it.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm")
    transformers: ClassVar[tuple[str, ...]] = ("deberta-v2",)
    pooler = False
    parts: ClassVar[Parts] = {
        **PARTS,
        r"self\.query_proj": "query",
        r"self\.key_proj": "key",
        r"self\.value_proj": "value",
    }
