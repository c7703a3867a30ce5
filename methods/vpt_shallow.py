"""Visual prompt tuning: learned tokens in the sequence of image patches.

Jia et al., "Visual Prompt Tuning", ECCV 2022, https://arxiv.org/abs/2203.12119.
"""

import math
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
from suite.nn.prompt import Prompt


@dataclass(frozen=True)
class VisualPromptTuning(Method):
    """The first block, or every block, reads [class token; P; patches]."""

    form: str
    tokens: int
    dropout: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert prompts that start uniformly, with the bound of the published code."""
        blocks, embeddings = backbone.of_kind("tokens"), backbone.of_kind("patch_embedding")
        if not blocks or not embeddings:
            raise Unsupported(f"{backbone.family} reads no sequence of image patches")
        patches = backbone.layer(embeddings[0], nn.Conv2d)
        for site in blocks if self.form == "deep" else blocks[:1]:
            bound = math.sqrt(6 / (patches.weight[0].numel() + site.width))
            start = torch.empty(self.tokens, site.width).uniform_(-bound, bound)
            backbone.insert_tokens(site, Prompt(start, self.dropout))
        return adapted(backbone, tasks, context_of(tasks))
