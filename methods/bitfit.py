"""BitFit: only the biases of the network are trained.

Ben Zaken et al., "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
Language-models", ACL 2022, https://arxiv.org/abs/2106.10199; for T5, which has no biases, as in the
code of Karimi Mahabadi et al., "Compacter", NeurIPS 2021, https://arxiv.org/abs/2106.04647.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.bias import AddedBias


@dataclass(frozen=True)
class BitFit(Method):
    """Weights frozen, biases trained."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train every bias; a T5 is first given biases in its linear layers and norms."""
        sites = backbone.of_kind("conv", "linear", "patch_embedding", "norm")
        biased = [s for s in sites if getattr(backbone.module(s), "bias", None) is not None]
        if not biased and backbone.family != "t5":
            raise Unsupported(f"{backbone.family} has no biases")
        for site in sites:
            layer = backbone.module(site)
            if getattr(layer, "bias", None) is not None:
                layer.bias.requires_grad_(True)
            elif backbone.family == "t5" and site.kind == "norm":
                backbone.insert(site, AddedBias(site.width))
            elif backbone.family == "t5":
                layer.bias = nn.Parameter(torch.zeros_like(layer.get_parameter("weight")[:, 0]))
        return adapted(backbone, tasks, context_of(tasks))
