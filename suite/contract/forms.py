"""Checks on forms of a network that no embedded backbone has."""

import dataclasses
from typing import Any

import torch

from suite.backbones.base import VisionBackbone
from suite.contract.answers import outputs
from suite.contract.costs import require_stated_cost
from suite.contract.fixture import Bench, Fault
from suite.method.model import AdaptedModel


def works_with_a_class_token(bench: Bench, model: AdaptedModel) -> None:
    """On a ViT that pools its class token, as pretrained ones do, the method answers and costs what
    it states; the embedded one has none and pools patches."""
    if bench.backbone.family != "vit":
        return
    from timm.models.vision_transformer import VisionTransformer

    network: Any = bench.backbone.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = VisionTransformer(
            img_size=network.patch_embed.img_size,
            patch_size=network.patch_embed.patch_size,
            embed_dim=network.embed_dim,
            depth=len(network.blocks),
            num_heads=network.blocks[0].attn.num_heads,
            num_classes=0,
        )
    backbone = VisionBackbone(bench.backbone.entry, other.eval(), bench.backbone.width)
    tokened = dataclasses.replace(bench, backbone=backbone)
    own = tokened.adapt(bench.served)
    require_stated_cost(tokened, own, " (on a ViT with a class token)")
    if not torch.isfinite(outputs(own, bench.batch(bench.served[0]))).all():
        raise Fault("on a ViT with a class token the answers are not finite")
