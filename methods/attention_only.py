"""Attention-only fine-tuning: the attention layers and a ViT's position embeddings are trained.

Touvron et al., "Three Things Everyone Should Know About Vision Transformers", ECCV 2022,
https://arxiv.org/abs/2203.09795, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)

PARTS = ("query", "key", "value", "qkv", "attention_output")


@dataclass(frozen=True)
class AttentionOnly(Method):
    """Fixed gates: attention changes, everything else is the backbone's."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the projections of every self- and cross-attention, biases included, and, as the
        public code does, the position embeddings of a ViT."""
        sites = [site for site in backbone.of_kind("linear") if site.part in PARTS]
        if not sites:
            raise Unsupported(f"{backbone.family} has no attention layers")
        backbone.unfreeze(sites)
        for embedding in backbone.position_embeddings:
            embedding.requires_grad_(True)
        return adapted(backbone, tasks, context_of(tasks))
