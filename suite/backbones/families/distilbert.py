"""DistilBERT: every other block of BERT, under names of its own."""

from typing import ClassVar

from torch import Tensor

from suite.backbones.families.bert import Bert
from suite.backbones.sites import (
    Network,
    Parts,
    Site,
    Sublayer,
    numbered,
    weight_sites,
    with_depths,
)
from suite.backbones.tokens import TokenSequence
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"attention\.q_lin": "query",
    r"attention\.k_lin": "key",
    r"attention\.v_lin": "value",
    r"attention\.out_lin": "attention_output",
    r"ffn\.lin1": "ff_hidden",
    r"ffn\.lin2": "ff_output",
}
SUBLAYERS = (
    Sublayer("attention", "attention.out_lin", "attention"),
    Sublayer("feed_forward", "ffn.dropout", "ffn"),
)


class DistilBert(Bert):
    """Sanh et al., "DistilBERT, a Distilled Version of BERT", arXiv 1910.01108."""

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "tokens",
    )  # fmt: skip
    transformers: ClassVar[tuple[str, ...]] = ("distilbert",)
    pooler = False

    @classmethod
    def width(cls, network: Network) -> int:
        """Under its own name."""
        return network.config.dim

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Houlsby's positions; attention ends in its output projection."""
        layer_of = numbered(r"transformer\.layer\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, PARTS))
        width = network.config.dim
        for layer in range(len(network.transformer.layer)):
            at = f"transformer.layer.{layer}"
            sites.append(Site(at, "tokens", "encoder", layer, width))
            sites += [each.site(at, "encoder", layer, width) for each in SUBLAYERS]
        return with_depths(sites)

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """After the class token."""
        return TokenSequence(network.transformer.layer, place=1)

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """Token and first position added up, then the norm."""
        return network.embeddings(ids[:, None])[:, 0]
