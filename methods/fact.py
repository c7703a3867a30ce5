"""FacT: the changes of all weight matrices of a vision transformer, factorised together.

Jie and Deng, "FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer", AAAI 2023,
https://arxiv.org/abs/2212.03145.
"""

from collections.abc import Callable, Mapping, Sequence
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
from suite.nn.factorised import Factors, FactorTuned, Shape, TensorTrain, Tucker

FORMS: Mapping[str, Callable[[int, int, Sequence[Shape]], Factors]] = {
    "tensor_train": TensorTrain,
    "tucker": Tucker,
}
MATRICES = {"qkv": 3}
"""Linear layers that are several matrices in one; all others are one."""


@dataclass(frozen=True)
class FacT(Method):
    """W0 + s V C U in every linear layer: U and V serve all, the cores C a single one."""

    form: str
    rank: int
    scale: float
    dropout: float

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Add the changes to all linear layers of all blocks; all else stays frozen."""
        if not backbone.of_kind("patch_embedding"):
            raise Unsupported(f"{backbone.family} is no vision transformer, of which FacT treats")
        sites = backbone.of_kind("linear")
        shapes: list[Shape] = []
        indices = []
        for site in sites:
            layer = backbone.layer(site, nn.Linear)
            if layer.in_features % backbone.width or layer.out_features % backbone.width:
                raise Unsupported(f"{site.name} is no whole number of widths of the network wide")
            matrices = MATRICES.get(site.part, 1)
            outputs = layer.out_features // backbone.width // matrices
            indices.append(range(len(shapes), len(shapes) + matrices))
            shapes += matrices * [(outputs, layer.in_features // backbone.width)]
        factors = FORMS[self.form](backbone.width, self.rank, shapes)
        for site, own in zip(sites, indices, strict=True):
            layer = backbone.layer(site, nn.Linear)
            backbone.replace(site, FactorTuned(layer, factors, own, self.scale, self.dropout))
        model = adapted(backbone, tasks, context_of(tasks))
        model.parts["factors"] = factors
        return model
