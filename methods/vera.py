"""VeRA: vectors that scale random projections which all layers share.

Kopiczko et al., "VeRA: Vector-based Random Matrix Adaptation", ICLR 2024,
https://arxiv.org/abs/2310.11454. The layers are those of the `peft` library.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from peft import VeraConfig, VeraModel

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    TaskEntry,
    adapted,
    context_of,
)
from suite.method.targets import targeted
from suite.nn.peft_layers import exactly


@dataclass(frozen=True)
class VeRA(Method):
    """W = W0 + diag(b) B diag(d) A: A and B are drawn from a seed, b and d are trained."""

    targets: str
    rank: int
    initial_d: float
    projection_seed: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt queries and values, or all linear layers."""
        sites = targeted(backbone, self.targets, "linear")
        with warnings.catch_warnings():
            # That the projections come from the seed, which is what is wanted here.
            warnings.filterwarnings("ignore", "Specified to not save vera_A", UserWarning)
            config = VeraConfig(
                r=self.rank,
                target_modules=exactly(sites),
                projection_prng_key=self.projection_seed,
                save_projection=False,
                d_initial=self.initial_d,
            )
        # The model and not `inject_adapter_in_model`, which refuses what layers share.
        VeraModel(backbone.network, config, "default")
        return adapted(backbone, tasks, context_of(tasks))
