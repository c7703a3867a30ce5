"""Training steps that a GPU replays as one CUDA graph.

A step of a small network is bound by the launches of its operations, 1,400 in a step of T5.
Captured once, they are replayed with one launch: the same kernels on the same memory, so that
results are those of the uncaptured steps. Each shape of a batch, task by task, has a graph of its
own; its first two steps are taken uncaptured, and show whether the step can be captured at all.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol

import torch

from suite.data.batching import Batch, MixedBatch
from suite.errors import UserError

SETTING = "SUITE_CUDA_GRAPHS"
"""The variable that turns CUDA graphs off: 0."""
WARM_UP = 2
"""Uncaptured steps of each shape: in the first libraries prepare, the second is watched."""
BEGINNING, MIXED = "first steps of a shape", "batches of several tasks"
WAITS, KEEPS = "the step waits for the device", "the step keeps tensors for the next one"


class Replay(Protocol):
    """What was captured."""

    def replay(self) -> None:
        """Compute it again, from what its inputs hold now."""


class Recorder(Protocol):
    """Captures what a device computes."""

    def waits(self, compute: Callable[[], None]) -> bool:
        """Compute, uncaptured, and say whether the host waited for the device."""

    def capture(self, compute: Callable[[], None]) -> Replay | None:
        """Capture without computing; None if tensors made on the way are still held at the end:
        other graphs use the same memory."""


class CudaRecorder:
    """Captures on the current stream, which must not be the default one, into CUDA graphs."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        """One for all graphs: none needs the memory while another one runs."""

    def waits(self, compute: Callable[[], None]) -> bool:
        """See `Recorder`."""
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                compute()
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        return any("called a synchronizing" in str(warning.message) for warning in caught)

    def capture(self, compute: Callable[[], None]) -> Replay | None:
        """See `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=torch.cuda.current_stream()):
                compute()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError(
                f"a training step could not be captured ({error}); {SETTING}=0 trains without "
                "CUDA graphs"
            ) from error
        return None if self._is_held() else graph

    def _is_held(self) -> bool:
        return any(
            block["state"] == "active_allocated"
            for segment in torch.cuda.memory_snapshot()
            if tuple(segment["segment_pool_id"]) == tuple(self.pool)
            for block in segment["blocks"]
        )


@dataclass
class Shape:
    """The steps of one shape of batches."""

    seen: int = 0
    static: Batch | None = None
    """The inputs of `graph`."""
    graph: Replay | None = None


@dataclass
class Steps:
    """Computes the steps of a phase: from a graph where there is one.

    `compute` takes a step on a batch; it reads nothing of the host's that changes from one step to
    the next. `obstacle` says why its steps cannot be captured, if that is known. Without a recorder
    nothing is captured, and nothing is said about it.
    """

    compute: Callable[[Batch | MixedBatch], None]
    recorder: Recorder | None
    obstacle: str = ""
    captured: int = 0
    uncaptured: Counter[str] = field(default_factory=Counter)
    """How many steps were not replayed, by reason."""
    shapes: dict[Hashable, Shape] = field(default_factory=dict)

    def __call__(self, batch: Batch | MixedBatch) -> None:
        """Take a step."""
        if self.recorder is None:
            self.compute(batch)
        elif self.obstacle or not isinstance(batch, Batch):
            self.uncaptured[self.obstacle or MIXED] += 1
            self.compute(batch)
        else:
            shape = self.shapes.setdefault(signature(batch), Shape())
            self._step(self.recorder, shape, batch)

    def forget(self) -> None:
        """Begin anew, because tensors have moved or are gone."""
        self.shapes.clear()

    def _step(self, recorder: Recorder, shape: Shape, batch: Batch) -> None:
        if shape.graph is None and shape.seen == WARM_UP:
            static = shape.static = _copy(batch)
            shape.graph = recorder.capture(lambda: self.compute(static))
            if shape.graph is None:
                self.obstacle = KEEPS
                self.forget()
        if shape.graph is not None:
            assert shape.static is not None
            _fill(shape.static, batch)
            shape.graph.replay()
            self.captured += 1
            return
        self.uncaptured[self.obstacle or BEGINNING] += 1
        shape.seen += 1
        if shape.seen < WARM_UP or self.obstacle:
            self.compute(batch)
        elif recorder.waits(lambda: self.compute(batch)):
            self.obstacle = WAITS


def recorder(device: torch.device) -> Recorder | None:
    """What captures steps on a device: nothing but on a GPU."""
    return CudaRecorder() if device.type == "cuda" else None


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    # One for all phases and cells of a process: each stream has memory of its own.
    return torch.cuda.Stream(device)


@contextmanager
def on_side_stream(device: torch.device) -> Iterator[None]:
    """Let a GPU work on a stream of its own, as captures need it, after all that was launched
    before, and before all that comes afterwards."""
    if device.type != "cuda":
        yield
        return
    main, side = torch.cuda.current_stream(device), _side_stream(device)
    side.wait_stream(main)
    try:
        with torch.cuda.stream(side):
            yield
    finally:
        main.wait_stream(side)


def described(captured: int, uncaptured: Mapping[str, int]) -> tuple[str, ...]:
    """How steps were taken, for a reader; nothing where there was no choice."""
    steps = captured + sum(uncaptured.values())
    if not steps:
        return ()
    others = (f"{count} uncaptured: {reason}" for reason, count in sorted(uncaptured.items()))
    return (f"{captured} of {steps} steps in CUDA graphs", *others)


def turned_off() -> str:
    """Why nothing is to be captured, if the user wants it so; raises `UserError` for another word
    than 0 or 1."""
    word = os.environ.get(SETTING, "")
    if word not in ("", "0", "1"):
        raise UserError(f"{SETTING}={word}: must be 0, for no CUDA graphs, or 1")
    return f"{SETTING}=0" if word == "0" else ""


def signature(batch: Batch) -> Hashable:
    """What batches have in common whose steps launch the same kernels."""
    tensors = (*batch.inputs.values(), batch.targets, batch.target_ids)
    return (
        batch.task,
        tuple(batch.inputs),
        tuple(None if t is None else (t.shape, t.stride(), t.dtype) for t in tensors),
    )


def _copy(batch: Batch) -> Batch:
    inputs = {name: values.clone() for name, values in batch.inputs.items()}
    ids = None if batch.target_ids is None else batch.target_ids.clone()
    return replace(batch, inputs=inputs, targets=batch.targets.clone(), target_ids=ids)


def _fill(static: Batch, batch: Batch) -> None:
    """Copy a batch of the same signature into the inputs of a graph."""
    for name, values in batch.inputs.items():
        static.inputs[name].copy_(values)
    static.targets.copy_(batch.targets)
    if static.target_ids is not None and batch.target_ids is not None:
        static.target_ids.copy_(batch.target_ids)
