"""The layers that methods of weight changes are asked to change by their option `targets`."""

from suite.backbones.base import Backbone
from suite.backbones.sites import Site
from suite.errors import Unsupported
from suite.registry.schema import SiteKind

QUERY_VALUE = ("query", "value", "qkv")
"""Where LoRA's paper found that a change pays most; some networks compute both in one layer."""


def targeted(backbone: Backbone, targets: str, *kinds: SiteKind) -> list[Site]:
    """The sites of these kinds; of linear layers all (`targets` is `all`), or those that compute
    queries and values (`query_value`). Raises Unsupported if there are none."""
    sites = [
        site
        for site in backbone.of_kind(*kinds)
        if site.kind != "linear" or targets == "all" or site.part in QUERY_VALUE
    ]
    if not sites:
        raise Unsupported(f"it changes layers of the kind {' or '.join(kinds)}; there are none")
    return sites
