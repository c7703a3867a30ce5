"""HyperGrid: one network for all tasks, its feed-forward layers gated by a text's first token.

Tay et al., "HyperGrid Transformers: Towards A Single Model for Multiple Tasks", ICLR 2021,
https://arxiv.org/abs/2007.05891.
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
from suite.nn.hypergrid import EncodedStart, GridGated, State, SublayerStart


@dataclass(frozen=True)
class HyperGrid(Method):
    """FFN(x) = (W2 * expand(r c^T)) relu(W1 x), r from the first token, which names the task."""

    rows: int
    columns: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Gate the second matrix of every feed-forward sublayer and train the whole network."""
        if backbone.family != "t5":
            raise Unsupported("HyperGrid is a form of T5, whose texts begin with the task's name")
        backbone.network.requires_grad_(True)
        encoded = EncodedStart()
        backbone.network.get_submodule("encoder").register_forward_hook(encoded)
        outputs = [site for site in backbone.of_kind("linear") if site.part == "ff_output"]
        for sublayer, output in zip(backbone.of_kind("feed_forward"), outputs, strict=True):
            source: State = encoded
            if sublayer.stack == "encoder":
                source = start = SublayerStart()
                entry = backbone.network.get_submodule(sublayer.entry)
                entry.register_forward_pre_hook(start, with_kwargs=True)
            layer = backbone.layer(output, nn.Linear)
            gated = GridGated(layer, source, backbone.width, self.rows, self.columns)
            backbone.replace(output, gated)
        return adapted(backbone, tasks, context_of(tasks))
