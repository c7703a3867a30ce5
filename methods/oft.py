"""OFT: the inputs of frozen weight matrices are rotated.

Qiu et al., "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", NeurIPS 2023,
https://arxiv.org/abs/2306.07280. The layers are those of the `peft` library.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from peft import OFTConfig
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
class OFT(Method):
    """W = W0 R, R block-diagonal and orthogonal: each block is (I + Q)^-1 (I - Q), Q skew."""

    targets: str
    block_size: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt queries and values, or all linear layers."""
        sites = targeted(backbone, self.targets, "linear")
        for site in sites:
            inputs = backbone.layer(site, nn.Linear).in_features
            if inputs % self.block_size:
                raise Unsupported(
                    f"blocks of {self.block_size} do not divide the {inputs} inputs of "
                    f"{site.name}: set oft.block_size to a divisor"
                )
        inject(
            backbone,
            OFTConfig(
                oft_block_size=self.block_size,
                target_modules=exactly(sites),
                use_cayley_neumann=False,
            ),
        )
        return adapted(backbone, tasks, context_of(tasks))
