"""BEiT and its relatives: vision transformers with relative or rotated positions."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from suite.backbones.families import vit
from suite.backbones.families.vit import PARTS, SUBLAYERS, ViT
from suite.backbones.of_transformers import QKV, Checkpoint, renamed
from suite.backbones.sites import Network, Parts, Site, numbered, weight_sites, with_depths
from suite.registry.schema import BackboneEntry, SiteKind

OWN_PARTS: Parts = {
    **PARTS,
    r"attn\.q_proj": "query",
    r"attn\.k_proj": "key",
    r"attn\.v_proj": "value",
    r"mlp\.fc1_[gx]": "ff_hidden",
}
TABLE = "relative_position_bias_table"
OUTSIDE = {
    **vit.OUTSIDE,
    "fc_norm": "pooler.layernorm",
    f"rel_pos_bias.{TABLE}": f"encoder.relative_position_bias.{TABLE}",
}
WITHIN = {
    **vit.WITHIN,
    "gamma_1": "lambda_1",
    "gamma_2": "lambda_2",
    "attn.q_bias": "attention.attention.query.bias",
    "attn.v_bias": "attention.attention.value.bias",
    f"attn.{TABLE}": f"attention.attention.relative_position_bias.{TABLE}",
}


class Beit(ViT):
    """Bao et al., "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022, arXiv 2106.08254.

    Positions are those of a grid, so that no tokens enter the sequence.
    """

    kinds: ClassVar[tuple[SiteKind, ...]] = (
        "attention", "feed_forward", "linear", "norm", "patch_embedding",
    )  # fmt: skip
    timm: ClassVar[tuple[str, ...]] = ("beit_*", "beitv2_*")
    transformers: ClassVar[tuple[str, ...]] = ("beit", "data2vec-vision")
    classes: ClassVar[tuple[str, ...]] = ("Beit",)

    @classmethod
    def of_transformers(cls, entry: BackboneEntry, folder: Path) -> Network:
        """With one projection for queries, keys and values, and positions for the images' size."""
        from timm.models.beit import Beit as BeitOfTimm

        found = Checkpoint(folder, hidden_act="gelu")
        config = found.config
        norm: Any = partial(nn.LayerNorm, eps=config.layer_norm_eps)
        network: Any = BeitOfTimm(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.hidden_size,
            depth=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            mlp_ratio=config.intermediate_size / config.hidden_size,
            norm_layer=norm,
            init_values=config.layer_scale_init_value or None,
            use_abs_pos_emb=config.use_absolute_position_embeddings,
            use_rel_pos_bias=config.use_relative_position_bias,
            use_shared_rel_pos_bias=config.use_shared_relative_position_bias,
            global_pool="avg" if config.use_mean_pooling else "token",
            num_classes=0,
        )
        found.fill(network, _names_in_transformers)
        if entry.image_size not in (None, config.image_size):
            network.set_input_size((entry.image_size, entry.image_size))
        return network

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


def _names_in_transformers(name: str) -> list[str]:
    if not name.startswith("blocks."):
        return [renamed(name, OUTSIDE)]
    _, layer, rest = name.split(".", 2)
    block = f"encoder.layer.{layer}"
    if rest == "attn.qkv.weight":
        return [f"{block}.attention.attention.{part}.weight" for part in QKV]
    return [f"{block}.{renamed(rest, WITHIN)}"]
