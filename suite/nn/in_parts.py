"""Backbones through which a batch of several tasks passes one task after another.

For methods that change weights of every kind from task to task, positions and embeddings included.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from suite.backbones.base import Backbone, EncoderBackbone, TextBackbone, VisionBackbone
from suite.backbones.per_task import TaskContext
from suite.backbones.writers import DecoderBackbone, EncoderDecoderBackbone

Inputs = Mapping[str, Tensor]


def in_parts(backbone: Backbone, context: TaskContext) -> Backbone:
    """The same network as a backbone that respects the counts of `context`; use it instead."""
    entry, network, width = backbone.entry, backbone.network, backbone.width
    parts: _InParts
    match backbone:
        case EncoderDecoderBackbone():
            parts = _EncoderDecoderInParts(entry, network, width, backbone.tokenizer)
        case DecoderBackbone():
            parts = _DecoderInParts(entry, network, width, backbone.tokenizer)
        case TextBackbone():
            parts = _EncoderInParts(entry, network, width, backbone.tokenizer)
        case _:
            parts = _VisionInParts(entry, network, width)
    parts.context = context
    return parts


class _InParts(Backbone):
    context: TaskContext

    def _part_by_part(
        self, function: Callable[..., Tensor], inputs: Inputs, *others: Tensor
    ) -> Tensor:
        """`function` of all rows of `inputs` and `others`, or of each task's rows in turn."""
        if self.context.counts is None:
            return function(inputs, *others)
        first = next(iter(inputs.values()))

        def of_task(rows: Tensor) -> Tensor:
            own = {name: values[rows] for name, values in inputs.items()}
            return function(own, *(values[rows] for values in others))

        return self.context.task_by_task(of_task, torch.arange(len(first), device=first.device))


class _VisionInParts(_InParts, VisionBackbone):
    def forward(self, inputs: Inputs) -> Tensor:
        return self._part_by_part(super().forward, inputs)


class _EncoderInParts(_InParts, EncoderBackbone):
    def forward(self, inputs: Inputs) -> Tensor:
        return self._part_by_part(super().forward, inputs)


class _EncoderDecoderInParts(_InParts, EncoderDecoderBackbone):
    def forward(self, inputs: Inputs, labels: Tensor) -> Tensor:
        return self._part_by_part(super().forward, inputs, labels)


class _DecoderInParts(_InParts, DecoderBackbone):
    def forward(self, inputs: Inputs, labels: Tensor) -> Tensor:
        return self._part_by_part(super().forward, inputs, labels)
