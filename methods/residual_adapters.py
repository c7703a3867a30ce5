"""Residual adapters: 1x1 convolutions beside or after every 3x3 convolution.

Rebuffi, Bilen and Vedaldi, "Efficient Parametrization of Multi-Domain Deep Neural Networks", CVPR
2018, https://arxiv.org/abs/1803.10082 (parallel); the same authors, "Learning Multiple Visual
Domains with Residual Adapters", NIPS 2017, https://arxiv.org/abs/1705.08045 (series).
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
from suite.nn.convolution import SeriesAdapter, pointwise


@dataclass(frozen=True)
class ResidualAdapters(Method):
    """conv(x) + A x, or y + A BN(y) on y = conv(x); then the task's own batch norm."""

    placement: str

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Adapt every 3x3 convolution, the stem's too; train them with all batch norms."""
        convs = [
            site
            for site in backbone.of_kind("conv")
            if backbone.layer(site, nn.Conv2d).kernel_size == (3, 3)
        ]
        if not convs:
            raise Unsupported(f"{backbone.family} has no 3x3 convolutions")
        backbone.unfreeze(backbone.of_kind("norm"))
        for site in convs:
            if self.placement == "parallel":
                backbone.insert_parallel(site, pointwise(backbone.layer(site, nn.Conv2d)))
            else:
                backbone.insert(site, SeriesAdapter(site.width))
        return adapted(backbone, tasks, context_of(tasks))
