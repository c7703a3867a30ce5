"""ModernBERT: an encoder with rotary positions, gated feed-forward sublayers and norms first."""

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
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"attn\.Wqkv": "qkv",
    r"attn\.Wo": "attention_output",
    r"mlp\.Wi": "ff_hidden",
    r"mlp\.Wo": "ff_output",
}
SUBLAYERS = (
    Sublayer("attention", "attn.out_drop", "attn", "attn_norm"),
    Sublayer("feed_forward", "mlp.Wo", "mlp", "mlp_norm"),
)


class ModernBert(Bert):
    """Warner et al., "Smarter, Better, Faster, Longer", arXiv 2412.13663."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("attention", "feed_forward", "linear", "norm")
    transformers: ClassVar[tuple[str, ...]] = ("modernbert",)
    pooler = False

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """Before the residual sums; positions are rotated by place, so that no tokens enter."""
        layer_of = numbered(r"layers\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, PARTS))
        width = network.config.hidden_size
        for layer in range(len(network.layers)):
            at = f"layers.{layer}"
            sites += [each.site(at, "encoder", layer, width) for each in SUBLAYERS]
        return with_depths(sites)

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """The token's vector after the norm."""
        return network.embeddings(input_ids=ids[:, None])[:, 0]
