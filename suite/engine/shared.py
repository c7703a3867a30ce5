"""What the cells of one process share, and whether a cell has changed it."""

import os
import signal
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from operator import is_not
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from suite.engine.workspace import Workspace

WATCHED = ("torch", "suite", "transformers", "timm", "numpy", "random", "math")
"""Packages whose functions and methods are compared; what is below `suite` and torch computes every
cell."""
_OF_REGISTRIES = "suite_registry."
"""What the modules of methods are called: nothing of theirs belongs into another module."""

Names = tuple[str, ...]


class Shared:
    """Remembers what later cells of a process will use, and finds what a cell has changed of it.

    Compared are the functions of modules and the methods of classes, by identity; torch's settings,
    the process's streams, folder and threads; the tensors of loaded backbones and the answers of
    encoded tasks, by checksums; their inputs by torch's count of changes, which takes no time.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        _use_optimizers()
        self._functions: dict[str, tuple[Mapping[str, Any], Names, list[Any]]] = {}
        self._data: dict[str, int] = {}
        self._process = _process()

    def remember(self) -> None:
        """Add what has been imported and loaded since the last time, and look at settings again."""
        self._process = _process()
        for name, space in _namespaces(self._functions):
            callables = {key: value for key, value in [*space.items()] if callable(value)}
            self._functions[name] = space, tuple(callables), [*callables.values()]
        for name, tensors in _tensors(self._workspace):
            if name not in self._data:
                self._data[name] = _checksum(tensors)

    def changed(self) -> str:
        """What is not as it was remembered, by name; empty if all is."""
        process = _process()
        for name, before in self._process.items():
            if process[name] != before:
                return name
        for name, (space, keys, values) in self._functions.items():
            now = [*map(space.get, keys)]
            if any(map(is_not, now, values)):
                pairs = zip(keys, now, values, strict=True)
                return f"{name}.{next(key for key, a, b in pairs if a is not b)}"
        for name, space in _namespaces(self._functions):
            # Imported by this cell, and never seen before it.
            for key, value in [*space.items()]:
                if str(getattr(value, "__module__", "")).startswith(_OF_REGISTRIES):
                    return f"{name}.{key}"
        for name, tensors in _tensors(self._workspace):
            if name in self._data and _checksum(tensors) != self._data[name]:
                return name
        return ""


def _use_optimizers() -> None:
    """Use every optimizer of recipes once: torch replaces methods of a class when it is first used,
    and imports its compiler."""
    for kind in (torch.optim.AdamW, torch.optim.SGD):
        parameter = nn.Parameter(torch.zeros(1))
        optimizer = kind([parameter], lr=0.1)
        parameter.grad = torch.zeros(1)
        optimizer.step()
        optimizer.zero_grad()


def _namespaces(known: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The modules and classes of the watched packages that are not known yet, by dotted name."""
    for name, module in [*sys.modules.items()]:
        if name in known or name.partition(".")[0] not in WATCHED:
            continue
        if not isinstance(module, ModuleType):
            continue
        yield name, vars(module)
        for key, value in [*vars(module).items()]:
            if isinstance(value, type) and getattr(value, "__module__", "") == name:
                yield f"{name}.{key}", vars(value)


def _process() -> dict[str, object]:
    """Settings of torch and of the process."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return {
        "torch's default number type": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "whether torch records gradients": torch.is_grad_enabled(),
        "torch's inference mode": torch.is_inference_mode_enabled(),
        "torch's anomaly detection": torch.is_anomaly_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic algorithms": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        ),
        "torch's autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "torch's precision": (torch.get_float32_matmul_precision(), cuda.allow_tf32),
        "torch's settings of cuDNN": (
            cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32,
        ),
        "torch's settings of oneDNN": torch.backends.mkldnn.enabled,
        "torch's hooks": tuple(
            (key, len(value))
            for name in ("torch.nn.modules.module", "torch.optim.optimizer")
            for key, value in sorted(vars(sys.modules[name]).items())
            if key.startswith("_global_") and isinstance(value, dict)
        ),
        "the current folder": _folder(),
        "the streams": (id(sys.stdin), id(sys.stdout), id(sys.stderr)),
        "the environment": dict(os.environ),
        "the search path of modules": tuple(sys.path),
        "the limit of recursion": sys.getrecursionlimit(),
        "the handlers of signals": tuple(map(signal.getsignal, range(1, signal.NSIG))),
        "the hooks of the interpreter": (sys.gettrace(), sys.getprofile(), sys.excepthook),
        "the threads": frozenset(thread.ident for thread in threading.enumerate()),
    }  # fmt: skip


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""


def _tensors(workspace: Workspace) -> Iterator[tuple[str, Sequence[Tensor | tuple[Tensor, int]]]]:
    """What a workspace keeps, by name: tensors, and those of which the count of changes will do."""
    for name, backbone in workspace.backbones.items():
        yield f"the weights of {name}", [*backbone.parameters(), *backbone.buffers()]
    for number, encoded in enumerate(workspace.encoded.values()):
        splits = (encoded.train, encoded.validation, encoded.test)
        answers = [split.targets for split in splits]
        answers += [split.target_ids for split in splits if split.target_ids is not None]
        yield f"the answers of {encoded.task.name} ({number})", answers
        inputs = [(tensor, tensor._version) for s in splits for tensor in s.inputs.values()]
        yield f"the examples of {encoded.task.name} ({number})", inputs


def _checksum(tensors: Sequence[Tensor | tuple[Tensor, int]]) -> int:
    """One number for the values of tensors."""
    total = 0
    for item in tensors:
        if isinstance(item, tuple):
            tensor, version = item
            total = zlib.crc32(f"{id(tensor)} {version}".encode(), total)
        elif item.device.type == "cpu":
            values = item.detach().flatten().contiguous().view(torch.uint8).numpy()
            total = zlib.crc32(values.data, total)
        else:
            # On the device: copying a large backbone to the host would take as long as many steps.
            whole = item.detach().flatten().contiguous()
            kind = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
            numbers = whole.view(kind[whole.element_size()])
            sums = (numbers.sum(), numbers[::2].sum(), numbers[::3].sum())
            total = zlib.crc32(str([int(each) for each in sums]).encode(), total)
    return total
