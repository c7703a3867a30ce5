"""Backbones through which a batch of several tasks passes one task after another.

For methods that change weights of every kind from task to task, positions and embeddings included.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from suite.backbones.base import Backbone, EncoderBackbone, TextToTextBackbone, VisionBackbone
from suite.backbones.per_task import TaskContext

Inputs = Mapping[str, Tensor]


def in_parts(backbone: Backbone, context: TaskContext) -> Backbone:
    """The same network as a backbone that heeds the rows of `context`; use it instead."""
    entry, network, width = backbone.entry, backbone.network, backbone.width
    parts: _InParts
    match backbone:
        case TextToTextBackbone():
            parts = _TextToTextInParts(entry, network, width, backbone.tokenizer)
        case EncoderBackbone():
            parts = _EncoderInParts(entry, network, width, backbone.tokenizer)
        case _:
            parts = _VisionInParts(entry, network, width)
    parts.context = context
    return parts


class _InParts(Backbone):
    context: TaskContext

    def _apart(self, function: Callable[..., Tensor], inputs: Inputs, *others: Tensor) -> Tensor:
        """`function` of all rows of `inputs` and `others`, or of each task's rows in turn."""
        if self.context.rows is None:
            return function(inputs, *others)
        first = next(iter(inputs.values()))

        def of_task(rows: Tensor) -> Tensor:
            own = {name: values[rows] for name, values in inputs.items()}
            return function(own, *(values[rows] for values in others))

        return self.context.apart(of_task, torch.arange(len(first), device=first.device))


class _VisionInParts(_InParts, VisionBackbone):
    def forward(self, inputs: Inputs) -> Tensor:
        return self._apart(super().forward, inputs)


class _EncoderInParts(_InParts, EncoderBackbone):
    def forward(self, inputs: Inputs) -> Tensor:
        return self._apart(super().forward, inputs)


class _TextToTextInParts(_InParts, TextToTextBackbone):
    def forward(self, inputs: Inputs, labels: Tensor) -> Tensor:
        return self._apart(super().forward, inputs, labels)

    @torch.no_grad()
    def generate(self, inputs: Inputs, length: int) -> Tensor:
        generate = super().generate
        config: Any = self.network.config

        def padded(own: Inputs) -> Tensor:
            # One task's answers may all end before another's.
            ids = generate(own, length)
            return F.pad(ids, (0, length + 1 - ids.shape[1]), value=config.pad_token_id)

        return self._apart(padded, inputs)
