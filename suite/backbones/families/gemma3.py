"""Gemma 3, of texts alone: Gemma 2 with rotations of two kinds."""

from typing import ClassVar

from suite.backbones.families.gemma2 import Gemma2
from suite.backbones.sites import Network, Site
from suite.registry.schema import SiteKind


class Gemma3(Gemma2):
    """Gemma Team, "Gemma 3 Technical Report", arXiv 2503.19786.

    Positions are rotated by layers of two kinds, so that no tokens enter the sequence.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm", "keys")
    transformers: ClassVar[tuple[str, ...]] = ("gemma3_text",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Those of Gemma 2 but for tokens."""
        return tuple(site for site in super().sites(network) if site.kind != "tokens")
