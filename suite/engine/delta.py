"""The delta: everything that must be stored beyond the backbone, in one safetensors file.

Tensors are keyed `role/task/name`: role `shared` (stored once for all tasks, task `-`), `task`,
`head` or `buffer` (running statistics); `name` is the tensor's name in the adapted model.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from suite.backbones.base import Backbone
from suite.backbones.per_task import PerTask
from suite.method import Method
from suite.method.model import AdaptedModel

FORMAT = "suite-delta-1"


def live_tensors(model: AdaptedModel) -> dict[str, Tensor]:
    """All that trains or was added, and the running statistics of batch norms that train, by name.

    The tensors are the model's own, not copies.
    """
    originals = model.backbone.originals
    adaptive = {
        id(buffer)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d) and any(p.requires_grad for p in module.parameters())
        for buffer in module.buffers()
    }
    persistent = model.state_dict().keys()
    tensors: dict[str, Tensor] = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad or id(parameter) not in originals
    }
    for name, buffer in model.named_buffers():
        # A step counter that only matters to a batch norm with cumulative averaging.
        if name not in persistent or name.endswith("num_batches_tracked"):
            continue
        if id(buffer) not in originals or id(buffer) in adaptive:
            tensors[name] = buffer
    return tensors


def stored_tensors(model: AdaptedModel, method: Method) -> dict[str, Tensor]:
    """The part of the live tensors that the method saves."""
    names = method.stored(model, tuple(live_tensors(model)))
    # Only now: `stored` may have packed them anew, in another size.
    tensors = live_tensors(model)
    return {name: tensors[name] for name in names}


def save_delta(path: Path, model: AdaptedModel, method: Method, regime: str) -> None:
    """Write the delta so that a reader sees no file or the whole file.

    Raises ValueError for a tensor without elements.
    """
    roles = dict(_roles(model, regime))
    buffers = {name for name, _ in model.named_buffers()}
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored_tensors(model, method).items():
        role, task = roles.get(name, _default_role(model, regime))
        if name in buffers and tensor.is_floating_point():
            role = "buffer"
        if tensor.numel() == 0:
            raise ValueError(f"{name} has no elements: its shape alone would be stored, uncounted")
        tensors[f"{role}/{task}/{name}"] = tensor.detach().cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    # One metadata key: with several, their order in the file would vary from run to run.
    save_file(tensors, part, {FORMAT: json.dumps(list(model.tasks))})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def load_delta(path: Path, model: AdaptedModel, method: Method) -> None:
    """Load a delta into a freshly adapted model; raises ValueError if it is not one of its own."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if FORMAT not in metadata:
            raise ValueError(f"{path.name} is no delta of this suite")
        tasks = json.loads(metadata[FORMAT])
        if tasks != list(model.tasks):
            raise ValueError(f"{path.name} serves {tasks}, not {list(model.tasks)}")
        tensors = {key.split("/", 2)[2]: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    with torch.no_grad():
        method.load(model, tensors)


def changed_tensors(model: AdaptedModel, pristine: Backbone, method: Method) -> list[str]:
    """Names of the backbone's own tensors that differ from the pristine ones without being
    stored: what a method has leaked. Empty for a correct method."""
    saved = {id(tensor) for tensor in _saved_objects(model, method)}
    reference = {
        **dict(pristine.network.named_parameters()),
        **dict(pristine.network.named_buffers()),
    }
    leaked = []
    for tensor in _tensors(model.backbone.network):
        name = model.backbone.originals.get(id(tensor))
        if name is None or id(tensor) in saved or name.endswith("num_batches_tracked"):
            continue
        if not torch.equal(tensor.detach().cpu(), reference[name].detach().cpu()):
            leaked.append(name)
    return sorted(leaked)


def _saved_objects(model: AdaptedModel, method: Method) -> Iterator[Tensor]:
    names = set(stored_tensors(model, method))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in names:
            yield tensor


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _default_role(model: AdaptedModel, regime: str) -> tuple[str, str]:
    return ("shared", "-") if regime == "joint" else ("task", next(iter(model.tasks)))


def _roles(model: AdaptedModel, regime: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name -> (role, task) of everything inside a `PerTask`."""
    for prefix, module in model.named_modules():
        if not isinstance(module, PerTask):
            continue
        for task, inner in module.by_task.items():
            start = f"{prefix}.by_task.{task}."
            for name, _ in [*inner.named_parameters(), *inner.named_buffers()]:
                yield start + name, ("head" if module.head else "task", task)
