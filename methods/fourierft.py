"""FourierFT: a weight change with few coefficients in its Fourier spectrum.

Gao et al., "Parameter-Efficient Fine-Tuning with Discrete Fourier Transform", ICML 2024,
https://arxiv.org/abs/2405.03003. The layers are those of the `peft` library.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from peft import FourierFTConfig

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
class FourierFT(Method):
    """W = W0 + alpha Re F^-1(E): E is zero but at places drawn from a seed, which are trained."""

    targets: str
    coefficients: int
    alpha: float
    place_seed: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt queries and values, or all linear layers."""
        sites = targeted(backbone, self.targets, "linear")
        smallest = min(backbone.module(site).get_parameter("weight").numel() for site in sites)
        if self.coefficients > smallest:
            raise Unsupported(
                f"{self.coefficients} coefficients of a matrix of {smallest} weights: set "
                "fourierft.coefficients to fewer"
            )
        inject(
            backbone,
            FourierFTConfig(
                n_frequency=self.coefficients,
                scaling=self.alpha,
                target_modules=exactly(sites),
                random_loc_seed=self.place_seed,
            ),
        )
        return adapted(backbone, tasks, context_of(tasks))
