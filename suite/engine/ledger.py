"""What a delta costs: counted from the saved file, and predicted in closed form.

The unit is the stored bit; 32 bits are one parameter equivalent. Closed forms count parameters, in
whatever precision these are stored; bits must be those that `suite.engine.rounding` rules.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from suite.backbones.base import Backbone
from suite.backbones.sites import Site
from suite.engine.content import FORMAT, Header
from suite.engine.rounding import SCALE, is_coded, layout
from suite.errors import UserError
from suite.registry.expression import Value, parse
from suite.registry.schema import Cost, CostTerm, SiteKind, Store
from suite.results.records import Ledger

BITS = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "F16": 16, "BF16": 16, "I16": 16}
BITS |= {"U8": 8, "I8": 8, "BOOL": 8}
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Stored:
    """One tensor of a model in its file."""

    role: str
    task: str
    bits: int
    """Scales included."""
    parameters: float
    """The same in parameters of 32 bits, as if it were stored in float32."""


def count(path: Path) -> Ledger:
    """Read a delta's cost from the header of its file.

    Raises ValueError if the header and the size of the file disagree, if a tensor's number type has
    no known size, or if a tensor is not stored as the rule of the file's precision says.
    """
    tensors, header_bytes = _read(path)
    shared = buffers = total = 0
    tasks: dict[str, int] = {}
    heads: dict[str, int] = {}
    for tensor in tensors:
        total += tensor.bits
        match tensor.role:
            case "shared":
                shared += tensor.bits
            case "task":
                tasks[tensor.task] = tasks.get(tensor.task, 0) + tensor.bits
            case "head":
                heads[tensor.task] = heads.get(tensor.task, 0) + tensor.bits
            case "buffer":
                buffers += tensor.bits
            case role:
                raise ValueError(f"{path.name}: a tensor has no known role, but '{role}'")
    # Bytes that no tensor of the header accounts for would be stored without being counted.
    file_bytes = path.stat().st_size
    if total != 8 * (file_bytes - 8 - header_bytes):
        raise ValueError(
            f"{path.name}: the header lists {total // 8} bytes of tensors, "
            f"the file holds {file_bytes - 8 - header_bytes}"
        )
    return Ledger(
        shared_bits=shared,
        task_bits=tasks,
        head_bits=heads,
        buffer_bits=buffers,
        tensor_bytes=total // 8,
        file_bytes=file_bytes,
    )


def parameters(path: Path) -> tuple[float, float]:
    """What a delta holds besides heads and running statistics, in parameters of 32 bits as if it
    were stored in float32: (shared by all tasks, summed over the tasks)."""
    tensors, _ = _read(path)
    shared, own = (
        sum(tensor.parameters for tensor in tensors if tensor.role == role)
        for role in ("shared", "task")
    )
    return shared, own


def _read(path: Path) -> tuple[list[Stored], int]:
    """The tensors of a delta, and how many bytes its header has."""
    # The layout of safetensors: eight bytes with the length of the header, the header in JSON, the
    # tensors. What is counted is thus what lies on disk, not what a model in memory reports.
    with path.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        listed = json.loads(file.read(header_bytes))
    written = listed.pop("__metadata__", {}).get(FORMAT)
    header = Header.model_validate_json(written) if written else Header(tasks=())
    store = header.store
    found = []
    for key, shape in header.shapes.items():
        role, task, _ = key.split("/", 2)
        # Popped: what is left afterwards is stored as it is, without scales.
        numbers, scale = (listed.pop(f"{key}.{part}", {}) for part in (store, SCALE))
        size, scales = layout(shape, store)
        as_ruled = {
            "numbers": (numbers.get("dtype"), numbers.get("shape"))
            == ("I8" if store is Store.INT8 else "U8", list(size)),
            "scales": (scale.get("dtype"), scale.get("shape")) == ("BF16", [scales]),
        }
        for what, holds in as_ruled.items():
            if not holds:
                raise ValueError(f"{path.name}: the {what} of '{key}' are not those of {store}")
        bits = 8 * math.prod(size) + BITS["BF16"] * scales
        found.append(Stored(role, task, bits, math.prod(shape)))
    for key, tensor in listed.items():
        role, task, _ = key.split("/", 2)
        dtype, elements = tensor["dtype"], math.prod(tensor["shape"])
        if dtype not in BITS:
            raise ValueError(
                f"{path.name}: tensor '{key}' is of the type {dtype}; counted are {', '.join(BITS)}"
            )
        bits = elements * BITS[dtype]
        # Whole numbers, such as the indices of sparse changes, are bits in any precision.
        if store is Store.FLOAT32 or dtype not in FLOATS:
            found.append(Stored(role, task, bits, bits / 32))
        elif dtype != "BF16" or is_coded(store, role, tensor["shape"]):
            raise ValueError(f"{path.name}: tensor '{key}' is of the type {dtype} under {store}")
        else:
            found.append(Stored(role, task, bits, elements))
    return found, header_bytes


def closed_form(
    cost: Cost,
    backbone: Backbone,
    tasks: int,
    options: Mapping[str, Value],
    facts: Mapping[str, float],
) -> tuple[float, float]:
    """Predicted parameters, 32 bits each: (shared by all tasks, summed over the tasks of the cell).

    `backbone` is unadapted. A fact that differs from task to task is reported once per task as
    `name@task`; the per-task terms then use it as `name`. Raises UserError, with the key of the
    term, if a formula has no value.
    """
    # Options after dimensions: the registry refuses one that has the name of a dimension.
    names: dict[str, Value] = {**dimensions(backbone), **options, "T": tasks}
    common = {name: value for name, value in facts.items() if "@" not in name}
    shared = _total("shared", cost.shared, backbone, names | common)
    # Without facts per task all tasks cost the same.
    served = sorted({name.split("@")[1] for name in facts if "@" in name})
    per_task: float = 0
    for task in served or range(tasks):
        own = {
            name.split("@")[0]: value for name, value in facts.items() if name.endswith(f"@{task}")
        }
        per_task += _total("per_task", cost.per_task, backbone, names | common | own)
    return shared, per_task


def disagreement(counted: tuple[float, float], expected: tuple[float, float], source: str) -> str:
    """How the `parameters` of a file and the closed form of the YAML file `source`, both (shared,
    summed over the tasks), differ, in words; empty if they agree."""
    for name, predicted, measured in zip(("shared", "per_task"), expected, counted, strict=True):
        # Exactly: both are counts, and a tolerance would hide a forgotten bias.
        if predicted != measured:
            return (
                f"the file holds {measured:,.2f} {name} parameters, "
                f"the closed form cost.{name} in {source} gives {predicted:,}"
            )
    return ""


def dimensions(backbone: Backbone) -> dict[str, int]:
    """The backbone's values of `suite.registry.cost_names.BACKBONE_NAMES`, without T."""

    def parameters(*kinds: SiteKind, bias: bool | None = None) -> int:
        return sum(
            parameter.numel()
            for site in backbone.of_kind(*kinds)
            for name, parameter in backbone.module(site).named_parameters()
            if bias is None or (name == "bias") == bias
        )

    def layers(stack: str) -> int:
        return 1 + max((site.layer for site in backbone.sites if site.stack == stack), default=-1)

    return {
        "P": backbone.parameter_count(),
        "d": backbone.width,
        "norm": parameters("norm"),
        "gated": parameters("conv", "linear", bias=False),
        "bias": parameters("conv", "linear", "patch_embedding", "head", bias=True),
        "head": parameters("head"),
        "positions": sum(p.numel() for p in backbone.position_embeddings),
        "layers_encoder": layers("encoder"),
        "layers_decoder": layers("decoder"),
        "blocks": backbone.blocks,
    }


def _total(
    part: str, terms: tuple[CostTerm, ...], backbone: Backbone, names: Mapping[str, Value]
) -> float:
    total: float = 0
    for index, term in enumerate(terms):
        formula = parse(term.count)
        sites = [_site_names(backbone, site) for site in backbone.of_kind(*term.each)]
        try:
            for own in sites if term.each else ({},):
                total += formula.value({**names, **own})
        except ValueError as error:
            raise UserError(f"cost.{part}[{index}].count: {error}") from None
    return total


def _site_names(backbone: Backbone, site: Site) -> dict[str, int | str]:
    module = backbone.module(site)
    size = sum(parameter.numel() for parameter in module.parameters())
    own: dict[str, int | str] = {
        "w": site.width,
        "size": size,
        "part": site.part,
        "depth": site.depth,
    }
    if isinstance(module, nn.Linear):
        own |= {"i": module.in_features, "o": module.out_features, "k": 1, "g": 1}
    elif isinstance(module, nn.Conv2d):
        own |= {"i": module.in_channels, "o": module.out_channels, "g": module.groups}
        own["k"] = math.prod(module.kernel_size)
    if isinstance(module, nn.Linear | nn.Conv2d):
        own["b"] = 0 if module.bias is None else module.bias.numel()
    return own
