"""How a model computes while the engine trains and scores it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from suite.backbones.base import TextBackbone
from suite.backbones.precision import rounds
from suite.method.model import AdaptedModel


@contextmanager
def arithmetic(model: AdaptedModel, device: torch.device) -> Iterator[None]:
    """The precision of a model's arithmetic; no pass waits for the device."""
    enabled = rounds(model.precision, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
        if device.type == "cpu" or not isinstance(model.backbone, TextBackbone):
            yield
            return
        with padding_masked():
            yield


@contextmanager
def padding_masked() -> Iterator[None]:
    """Let transformers mask padding where there is none, too, as it does in a CUDA graph.

    It would read from the device whether there is any, so that every pass would wait for all that
    was launched before it.
    """
    from transformers import masking_utils

    library: Any = masking_utils
    own = library.is_tracing
    library.is_tracing = lambda *_: True
    try:
        yield
    finally:
        library.is_tracing = own
