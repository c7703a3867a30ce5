"""What a delta file holds: its tensors by their keys, and a header that says how to read them.

Keys are `role/task/name`: role `shared` (stored once for all tasks, task `-`), `task`, `head` or
`buffer` (running statistics); `name` is the tensor's name in the adapted model. A tensor that is
rounded to whole numbers is two: `KEY.int4` (or another store), and `KEY.scale`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from suite.engine.rounding import SCALE, Codes, Rounding, decode, encode, is_coded
from suite.registry.schema import OptionValue, Precision, Store
from suite.results.records import CellKey, Record

FORMAT = "suite-delta-2"
"""Key of the file's metadata that holds its `Header`."""


class Origin(Record):
    """The cell that a delta comes from: all that is needed to build its model again."""

    cell: CellKey
    options: dict[str, OptionValue]
    max_length: int
    """Tokens to which texts were cut."""
    precision: Precision = "auto"
    """Of the arithmetic."""
    weights: str
    """Fingerprint of the backbone's files."""


class Header(Record):
    """The tasks a delta serves, in the order of the model, where it comes from, and in which
    precision it is."""

    tasks: tuple[str, ...]
    origin: Origin | None = None
    store: Store = Store.FLOAT32
    shapes: Mapping[str, tuple[int, ...]] = {}
    """Key -> shape of every tensor that is stored as whole numbers."""
    changes: tuple[str, ...] = ()
    """Keys of the tensors of which the change is stored."""
    starts: tuple[float, float] = (0.0, 0.0)
    """The `summary` of what the changes start from."""

    @model_serializer(mode="wrap")
    def _of_store(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A file of float32 says nothing of precision."""
        content: dict[str, Any] = write(self)
        if self.store is Store.FLOAT32:
            for key in ("store", "shapes", "changes", "starts"):
                del content[key]
        return content


@dataclass(frozen=True)
class Content:
    """The tensors of a delta by their keys in the file, and its header."""

    tensors: Mapping[str, Tensor]
    header: Header


def rounded_content(exact: Mapping[str, Tensor], header: Header, rounding: Rounding) -> Content:
    """What the file holds in place of exact tensors; see `suite.engine.rounding`."""
    store = rounding.store
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    changes: dict[str, Tensor] = {}
    for key, tensor in exact.items():
        if not tensor.is_floating_point():
            tensors[key] = tensor
            continue
        role, _, name = key.split("/", 2)
        if rounding.has_start(name, tensor):
            changes[key] = rounding.starts[name]
            value = tensor.float() - changes[key].float()
        else:
            value = tensor.float()
        if not value.to(torch.bfloat16).isfinite().all():
            raise ValueError(f"{name} has values that are not finite: {store} cannot hold them")
        if is_coded(store, role, tensor.shape, rounding.is_list(name, tensor)):
            shapes[key] = tuple(tensor.shape)
            codes = encode(value, store)
            tensors |= {f"{key}.{store}": codes.numbers, f"{key}.{SCALE}": codes.scale}
        else:
            tensors[key] = value.to(torch.bfloat16)
    more = {"store": store, "shapes": shapes, "changes": tuple(changes)}
    return Content(tensors, header.model_copy(update={**more, "starts": summary(changes.values())}))


def values_of(content: Content, starts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names in the model, whatever the file's precision."""
    header = content.header
    if header.store is Store.FLOAT32:
        return {name_of(key): tensor for key, tensor in content.tensors.items()}
    values: dict[str, Tensor] = {}
    for key, shape in header.shapes.items():
        codes = Codes(content.tensors[f"{key}.{header.store}"], content.tensors[f"{key}.{SCALE}"])
        values[key] = decode(codes, shape, header.store)
    coded = {f"{key}.{part}" for key in header.shapes for part in (header.store, SCALE)}
    for key, tensor in content.tensors.items():
        if key not in coded:
            values[key] = tensor.float() if tensor.is_floating_point() else tensor
    for key in header.changes:
        values[key] = starts[name_of(key)].float() + values[key]
    return {name_of(key): tensor for key, tensor in values.items()}


def name_of(key: str) -> str:
    """The name in the model of a tensor under `role/task/name`."""
    return key.split("/", 2)[2]


def summary(tensors: Iterable[Tensor]) -> tuple[float, float]:
    """Mean and root mean square of all values, to six digits."""
    flat = [tensor.flatten().double() for tensor in tensors]
    if not flat:
        return 0.0, 0.0
    count = sum(tensor.numel() for tensor in flat)
    mean = sum(float(tensor.sum()) for tensor in flat) / count
    square = sum(float(tensor.square().sum()) for tensor in flat) / count
    return float(f"{mean:.6g}"), float(f"{math.sqrt(square):.6g}")


def alike(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two summaries may be of the same values: computed ones differ by rounding from
    machine to machine."""
    room = 1e-4 * max(first[1], second[1])
    return all(abs(a - b) <= room for a, b in zip(first, second, strict=True))
