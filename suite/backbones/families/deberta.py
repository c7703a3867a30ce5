"""DeBERTa, versions 2 and 3: attention to contents and to relative positions apart."""

from typing import ClassVar

from suite.backbones.families.bert import PARTS, SUBLAYERS, Bert
from suite.backbones.sites import Network, Parts, Site, numbered, weight_sites, with_depths
from suite.registry.schema import SiteKind

OWN_PARTS: Parts = {
    **PARTS,
    r"self\.query_proj": "query",
    r"self\.key_proj": "key",
    r"self\.value_proj": "value",
}


class Deberta(Bert):
    """He et al., "DeBERTaV3", ICLR 2023, arXiv 2111.09543."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm")
    transformers: ClassVar[tuple[str, ...]] = ("deberta-v2",)
    pooler = False

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Those of BERT; the sequence must fit relative positions, so that no tokens enter it."""
        layer_of = numbered(r"encoder\.layer\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, OWN_PARTS))
        width = network.config.hidden_size
        for layer in range(len(network.encoder.layer)):
            prefix = f"encoder.layer.{layer}"
            for kind, name, entry in SUBLAYERS:
                at, reads = f"{prefix}.{name}", f"{prefix}.{entry}"
                sites.append(Site(at, kind, "encoder", layer, width, entry=reads))
        return with_depths(sites)
