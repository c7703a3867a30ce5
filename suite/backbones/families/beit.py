"""BEiT and its relatives: vision transformers with relative or rotated positions."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from suite.backbones.families.vit import PARTS, SUBLAYERS, ViT
from suite.backbones.sites import Network, Parts, Site, numbered, weight_sites, with_depths
from suite.registry.schema import SiteKind

OWN_PARTS: Parts = {
    **PARTS,
    r"attn\.q_proj": "query",
    r"attn\.k_proj": "key",
    r"attn\.v_proj": "value",
    r"mlp\.fc1_[gx]": "ff_hidden",
}


class Beit(ViT):
    """Bao et al., "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022, arXiv 2106.08254.

    Positions are those of a grid, so that no tokens enter the sequence.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "patch_embedding",
    )  # fmt: skip
    timm: ClassVar[tuple[str, ...]] = ("beit_*", "beitv2_*")
    classes: ClassVar[tuple[str, ...]] = ("Beit",)

    @classmethod
    def prepared(cls, network: Network) -> Network:
        """With the biases of queries and values in the projection that they belong to.

        timm reads that projection's weight without calling it, so that nothing put in its place
        would be seen. Keys get a bias of zero, which changes no attention.
        """
        for module in network.modules():
            if getattr(module, "q_bias", None) is not None:
                with torch.no_grad():
                    bias = torch.cat((module.q_bias, module.k_bias, module.v_bias))
                module.qkv.bias = nn.Parameter(bias)
                module.q_bias = module.k_bias = module.v_bias = None
        return network

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """As in a ViT. Where norms follow the sublayers, adapters follow the norms."""
        layer_of = numbered(r"blocks\.(\d+)", "encoder")
        sites = list(weight_sites(network, layer_of, OWN_PARTS))
        for layer, block in enumerate(network.blocks):
            prefix = f"blocks.{layer}"
            norm_first = not type(block).__name__.endswith("PostNorm")
            for each in SUBLAYERS:
                own = each if norm_first else replace(each, norm="")
                sites.append(own.site(prefix, "encoder", layer, network.embed_dim))
        return with_depths(sites)
