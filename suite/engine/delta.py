"""The delta: everything that must be stored beyond the backbone, in one safetensors file.

`suite.engine.content` says what it holds, `suite.engine.rounding` what its precision means.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from suite.backbones.base import Backbone
from suite.backbones.per_task import PerTask
from suite.engine.content import (
    FORMAT,
    Content,
    Header,
    Origin,
    alike,
    name_of,
    rounded_content,
    summary,
    values_of,
)
from suite.engine.rounding import Rounding
from suite.errors import Unsupported
from suite.method import Method
from suite.method.model import AdaptedModel
from suite.registry.schema import Store

SHARED = "-"
"""In the place of a task: of what all of them share."""


def live_tensors(model: AdaptedModel) -> dict[str, Tensor]:
    """All tensors that train or were added, and the running statistics of trained batch norms.

    By name; the tensors are the model's own, not copies.
    """
    originals = model.backbone.originals
    adaptive = {
        name
        for prefix, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d) and any(p.requires_grad for p in module.parameters())
        for name, _ in module.named_buffers(prefix)
    }
    persistent = model.state_dict().keys()
    tensors: dict[str, Tensor] = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad or parameter not in originals
    }
    for name, buffer in model.named_buffers():
        # `num_batches_tracked` matters only to a batch norm with cumulative averaging.
        if name not in persistent or name.endswith("num_batches_tracked"):
            continue
        if buffer not in originals or name in adaptive:
            tensors[name] = buffer
    return tensors


def stored_tensors(model: AdaptedModel, method: Method) -> dict[str, Tensor]:
    """The part of the live tensors that the method saves."""
    names = method.stored(model, tuple(live_tensors(model)))
    # Only now: `stored` may have packed them anew, in another size.
    tensors = live_tensors(model)
    return {name: tensors[name] for name in names}


def make_rounding(store: Store, first: AdaptedModel, second: AdaptedModel) -> Rounding:
    """How to store a method's models in this precision, from two freshly adapted ones under
    different seeds. What it keeps of them are copies on the CPU."""
    own, other = live_tensors(first), live_tensors(second)
    return Rounding(
        store,
        starts={
            name: tensor.detach().cpu().clone()
            for name, tensor in own.items()
            if tensor.is_floating_point() and torch.equal(tensor, other[name])
        },
        shapes={name: tensor.shape for name, tensor in own.items()},
    )


def save_delta(
    path: Path,
    model: AdaptedModel,
    method: Method,
    regime: str,
    origin: Origin | None = None,
    rounding: Rounding | None = None,
) -> None:
    """Write the delta so that a reader sees either no file or the complete one; in float32, or as
    `rounding` says.

    Raises ValueError for a tensor without elements, and for a value that is not finite and would be
    rounded.
    """
    content = _content(model, method, regime, origin, rounding)
    # Under another name until its bytes are on disk: a crash leaves the old file or none.
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    # One metadata key: with several, their order in the file would vary from run to run.
    save_file(dict(content.tensors), part, {FORMAT: content.header.model_dump_json()})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def load_delta(path: Path, model: AdaptedModel, method: Method) -> None:
    """Load a delta into a freshly adapted model.

    Raises ValueError if it serves other tasks, or holds changes of other values than the model's.
    """
    header = read_header(path)
    if header.tasks != tuple(model.tasks):
        raise ValueError(f"{path.name} serves {header.tasks}, not {tuple(model.tasks)}")
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    own = live_tensors(model)
    names = map(name_of, header.changes)
    first = {name: own[name].detach().cpu().clone() for name in names if name in own}
    if not alike(summary(first.values()), header.starts):
        raise ValueError(f"{path.name} holds changes of other values than training starts from now")
    with torch.no_grad():
        method.load(model, values_of(Content(tensors, header), first))


def start_from(path: Path, like: str, model: AdaptedModel, regime: str) -> None:
    """Give a freshly adapted model of one task what a delta in float32 holds for all tasks, and for
    the task `like`; output layers stay new.

    Raises Unsupported if the method trains something that it does not store, and ValueError if the
    file is of another method.
    """
    (task,) = model.tasks
    own = live_tensors(model)
    fresh = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    fresh -= {name for name, (role, _) in _roles(model, regime) if role == "head"}
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for key in file.keys():  # noqa: SIM118
            role, of, name = key.split("/", 2)
            name = name.replace(f".by_task.{like}.", f".by_task.{task}.")
            if role == "head" or of not in (SHARED, like):
                continue
            tensor = file.get_tensor(key)
            if name not in own or own[name].shape != tensor.shape:
                raise ValueError(f"{path.name} holds {name} {[*tensor.shape]}, which is not here")
            own[name].copy_(tensor)
            fresh.discard(name)
    if fresh:
        raise Unsupported(
            f"it trains {min(fresh)} and does not store it: nothing can start from what it stores"
        )


@contextmanager
def rounded(
    model: AdaptedModel, method: Method, regime: str, rounding: Rounding
) -> Iterator[AdaptedModel]:
    """The model, in evaluation mode, with what it stores rounded, as its file would give it back;
    everything else, and afterwards the whole, as it was."""
    exact = {name: tensor.clone() for name, tensor in stored_tensors(model, method).items()}
    content = _content(model, method, regime, None, rounding)
    with torch.no_grad():
        method.load(model, values_of(content, rounding.starts))
        try:
            # Drops what layers have kept from passes before: weights that a hypernetwork generates.
            yield model.eval()
        finally:
            method.load(model, exact)
            model.eval()


def _content(
    model: AdaptedModel,
    method: Method,
    regime: str,
    origin: Origin | None,
    rounding: Rounding | None,
) -> Content:
    tensors: dict[str, Tensor] = {}
    for role, task, name, tensor in _placed(model, method, regime):
        if tensor.numel() == 0:
            raise ValueError(f"{name} has no elements: its shape alone would be stored, uncounted")
        tensors[f"{role}/{task}/{name}"] = tensor.detach().cpu().contiguous()
    header = Header(tasks=tuple(model.tasks), origin=origin)
    if rounding is None:
        return Content(tensors, header)
    return rounded_content(tensors, header, rounding)


def read_header(path: Path) -> Header:
    """The header of a delta; raises ValueError if the file is not a delta."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path.name} is no safetensors file ({error})") from None
    if FORMAT not in metadata:
        raise ValueError(f"{path.name} is no delta of this version of the suite")
    return Header.model_validate_json(metadata[FORMAT])


def delta_digest(path: Path) -> str:
    """SHA-256 of a delta's file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_tensors(model: AdaptedModel, pristine: Backbone, method: Method) -> list[str]:
    """Names of the backbone's own tensors that differ from the pristine ones but are not stored:
    leaks of the method. Empty for a correct method."""
    saved = stored_tensors(model, method)
    reference = {
        **dict(pristine.network.named_parameters()),
        **dict(pristine.network.named_buffers()),
    }
    leaked = []
    for own_name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        name = model.backbone.originals.get(tensor)
        if name is None or own_name in saved or name.endswith("num_batches_tracked"):
            continue
        # Bit for bit: a frozen tensor has no reason to move at all, not even by rounding.
        if not torch.equal(tensor.detach().cpu(), reference[name].detach().cpu()):
            leaked.append(name)
    return sorted(leaked)


def stored_parameters(model: AdaptedModel, method: Method, regime: str) -> tuple[float, float]:
    """What `ledger.parameters` would count in the model's file, without writing it."""
    sizes = {"shared": 0.0, "task": 0.0, "head": 0.0, "buffer": 0.0}
    for role, _, _, tensor in _placed(model, method, regime):
        sizes[role] += tensor.numel() * tensor.element_size() / 4
    return sizes["shared"], sizes["task"]


def _placed(
    model: AdaptedModel, method: Method, regime: str
) -> Iterator[tuple[str, str, str, Tensor]]:
    """(role, task, name, tensor) of what is stored."""
    roles = dict(_roles(model, regime))
    buffers = {name for name, _ in model.named_buffers()}
    for name, tensor in stored_tensors(model, method).items():
        role, task = roles.get(name, _default_role(model, regime))
        if name in buffers and tensor.is_floating_point():
            role = "buffer"
        yield role, task, name, tensor


def _default_role(model: AdaptedModel, regime: str) -> tuple[str, str]:
    return ("shared", SHARED) if regime == "joint" else ("task", next(iter(model.tasks)))


def _roles(model: AdaptedModel, regime: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name -> (role, task) of everything inside a `PerTask`."""
    for prefix, module in model.named_modules():
        if not isinstance(module, PerTask):
            continue
        for task, inner in module.by_task.items():
            start = f"{prefix}.by_task.{task}."
            for name, _ in [*inner.named_parameters(), *inner.named_buffers()]:
                yield start + name, ("head" if module.head else "task", task)
