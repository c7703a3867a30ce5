"""OLMo 3: OLMo 2 with rotations of two kinds."""

from typing import ClassVar

from suite.backbones.families.olmo2 import Olmo2
from suite.backbones.sites import Network, Site
from suite.registry.schema import SiteKind


class Olmo3(Olmo2):
    """OLMo Team, "Olmo 3", arXiv 2512.13961.

    Positions are rotated by layers of two kinds, so that no tokens enter the sequence.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm", "keys")
    transformers: ClassVar[tuple[str, ...]] = ("olmo3",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Those of OLMo 2 but for tokens."""
        return tuple(site for site in super().sites(network) if site.kind != "tokens")
