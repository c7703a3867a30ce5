"""Copies from the host to the device that nobody waits for."""

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor

from suite.data.encode import EncodedTask

B = TypeVar("B")
RESIDENT_SHARE = 0.5
"""Of a GPU's free memory, the most that one task's examples may take there."""


def fits(encoded: EncodedTask, device: torch.device) -> bool:
    """Whether a task's examples are to lie on the device; otherwise they stay on the host, and
    batches are copied."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size(encoded) <= RESIDENT_SHARE * free


def size(encoded: EncodedTask) -> int:
    """Bytes of a task's examples."""
    splits = (encoded.train, encoded.validation, encoded.test)
    ids = (split.target_ids for split in splits if split.target_ids is not None)
    inputs = (values for split in splits for values in split.inputs.values())
    return sum(t.nbytes for t in (*inputs, *ids, *(split.targets for split in splits)))


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device."""
    if device.type == "cpu":
        return values
    # From pageable memory the host would wait until all that was launched before is done.
    return values.pin_memory().to(device, non_blocking=True)


def ahead(batches: Iterator[B], device: torch.device) -> Iterator[B]:
    """The same batches, each made and copied while the one before it is computed with."""
    if device.type != "cuda":
        following = next(batches)
        while True:
            batch, following = following, next(batches)
            yield batch
    side = torch.cuda.Stream(device)

    def draw() -> tuple[B, torch.cuda.Event]:
        with torch.cuda.stream(side):
            return next(batches), side.record_event()

    prepared = draw()
    while True:
        batch, copied = prepared
        here = torch.cuda.current_stream(device)
        here.wait_event(copied)
        prepared = draw()
        yield batch
        # The step on the batch is queued by now: the copy after the next one may take its memory.
        side.wait_stream(here)
