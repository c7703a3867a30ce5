"""BERT and the encoders that are built of the same blocks."""

from typing import ClassVar

from torch import Tensor

from suite.backbones.family import TextFamily
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

FEED_FORWARD = Sublayer("feed_forward", "output.dropout", "intermediate")
PARTS: Parts = {
    r"self\.query": "query",
    r"self\.key": "key",
    r"self\.value": "value",
    r"attention\.output\.dense": "attention_output",
    r"intermediate\.dense": "ff_hidden",
    r"output\.dense": "ff_output",
}


class Bert(TextFamily):
    """Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019, arXiv 1810.04805."""

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "tokens", "keys",
    )  # fmt: skip
    transformers: ClassVar[tuple[str, ...]] = (
        "bert", "roberta", "xlm-roberta", "camembert", "ernie", "data2vec-text",
    )  # fmt: skip
    pooler = True
    parts: ClassVar[Parts] = PARTS
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer("attention", "attention.output.dropout", "attention"),
        FEED_FORWARD,
    )

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Houlsby's positions: after output projection and dropout, before residual and norm."""
        layer_of = numbered(r"encoder\.layer\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, cls.parts))
        width = network.config.hidden_size
        for layer in range(len(network.encoder.layer)):
            prefix = f"encoder.layer.{layer}"
            own = f"{prefix}.attention.self"
            if "tokens" in cls.kinds:
                sites.append(Site(prefix, "tokens", "encoder", layer, width))
            if "keys" in cls.kinds:
                sites.append(Site(own, "keys", "encoder", layer, width, part="self"))
            sites += [each.site(prefix, "encoder", layer, width) for each in cls.sublayers]
        return with_depths(sites)

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """After the class token."""
        return TokenSequence(network.encoder.layer, place=1)

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """The same: token, first position and first segment added up, then the norm."""
        return network.embeddings(input_ids=ids[:, None])[:, 0]
