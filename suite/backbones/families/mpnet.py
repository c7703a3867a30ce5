"""MPNet: BERT's blocks with relative positions."""

from typing import ClassVar

from suite.backbones.families.bert import Bert
from suite.backbones.sites import Network, Parts, Site, numbered, weight_sites, with_depths
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"attn\.q": "query",
    r"attn\.k": "key",
    r"attn\.v": "value",
    r"attn\.o": "attention_output",
    r"intermediate\.dense": "ff_hidden",
    r"output\.dense": "ff_output",
}
SUBLAYERS: tuple[tuple[SiteKind, str, str], ...] = (
    ("attention", "attention.dropout", "attention"),
    ("feed_forward", "output.dropout", "intermediate"),
)


class MPNet(Bert):
    """Song et al., "MPNet: Masked and Permuted Pre-training for Language Understanding", NeurIPS
    2020, arXiv 2004.09297."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm")
    transformers: ClassVar[tuple[str, ...]] = ("mpnet",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Those of BERT; the sequence must fit relative positions, so that no tokens enter it."""
        layer_of = numbered(r"encoder\.layer\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, PARTS))
        width = network.config.hidden_size
        for layer in range(len(network.encoder.layer)):
            prefix = f"encoder.layer.{layer}"
            for kind, name, entry in SUBLAYERS:
                at, reads = f"{prefix}.{name}", f"{prefix}.{entry}"
                sites.append(Site(at, kind, "encoder", layer, width, entry=reads))
        return with_depths(sites)
