"""ALBERT: one block that is passed again and again."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from suite.backbones.families.bert import Bert
from suite.backbones.sites import Network, Parts, Site, blocks_of, inside, weight_sites, with_depths
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"attention\.query": "query",
    r"attention\.key": "key",
    r"attention\.value": "value",
    r"attention\.dense": "attention_output",
    r"\.ffn": "ff_hidden",
    r"\.ffn_output": "ff_output",
}


class Albert(Bert):
    """Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations",
    ICLR 2020, arXiv 1909.11942.

    A layer that stands for several has its sites, and costs, once: what is inserted there serves
    every pass.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm")
    transformers: ClassVar[tuple[str, ...]] = ("albert",)

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Houlsby's positions of every layer that has weights of its own."""
        blocks = blocks_of(network, lambda _, module: type(module).__name__ == "AlbertLayer")
        sites = list(weight_sites(network, inside(blocks, "encoder"), PARTS))
        width = network.config.hidden_size
        ends: Mapping[SiteKind, tuple[str, str]] = {
            "attention": ("attention.output_dropout", "attention"),
            "feed_forward": ("ffn_output", "ffn"),
        }
        for layer, block in enumerate(blocks):
            for kind, (end, entry) in ends.items():
                at, reads = f"{block}.{end}", f"{block}.{entry}"
                sites.append(Site(at, kind, "encoder", layer, width, entry=reads))
        return with_depths(sites)

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """As in BERT, brought to the width of the blocks."""
        return network.encoder.embedding_hidden_mapping_in(super().embedded(network, ids))
