"""LoRA: a low-rank change added to frozen weight matrices and kernels.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022,
https://arxiv.org/abs/2106.09685; Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML
2024, https://arxiv.org/abs/2402.09353. The layers are those of the `peft` library.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from peft import LoraConfig
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
from suite.method.targets import targeted
from suite.nn.peft_layers import exactly, inject


@dataclass(frozen=True)
class LoRA(Method):
    """W = W0 + (alpha / rank) B A, or with `magnitude` m (W0 + ...) / |W0 + ...| (DoRA)."""

    targets: str
    rank: int
    alpha: int
    magnitude: bool

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt queries and values, or all linear layers; in convolutional networks all kernels."""
        sites = targeted(backbone, self.targets, "conv", "linear")
        for site in sites:
            groups = backbone.layer(site, nn.Conv2d).groups if site.kind == "conv" else 1
            if self.rank % groups:
                raise Unsupported(
                    f"{site.name} has {groups} groups, by which the rank {self.rank} cannot be "
                    "divided"
                )
        inject(
            backbone,
            LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha,
                target_modules=exactly(sites),
                use_dora=self.magnitude,
            ),
        )
        return adapted(backbone, tasks, context_of(tasks))
