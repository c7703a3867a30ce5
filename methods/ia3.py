"""(IA)^3: keys, values and hidden activations are rescaled by learned vectors.

Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context
Learning", NeurIPS 2022, https://arxiv.org/abs/2205.05638. The layers are those of the `peft`
library.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from peft import IA3Config

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    TaskEntry,
    Unsupported,
    adapted,
    context_of,
)
from suite.nn.peft_layers import exactly, inject


@dataclass(frozen=True)
class IA3(Method):
    """l_k * K, l_v * V and W2 (l_ff * hidden), all vectors one at first."""

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Rescale in self- and cross-attention and in feed-forward sublayers; all else frozen."""
        linear = backbone.of_kind("linear")
        outputs = [site for site in linear if site.part in ("key", "value", "qkv")]
        inputs = [site for site in linear if site.part == "ff_output"]
        if not outputs:
            raise Unsupported(f"{backbone.family} has no keys and values")
        inject(
            backbone,
            IA3Config(
                target_modules=exactly(outputs + inputs), feedforward_modules=exactly(inputs)
            ),
        )
        return adapted(backbone, tasks, context_of(tasks))
