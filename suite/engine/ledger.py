"""What a delta costs: counted from the saved file, and predicted in closed form.

The unit is the stored bit; 32 bits are one parameter equivalent.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from suite.backbones.base import Backbone
from suite.backbones.sites import Site
from suite.errors import UserError
from suite.registry.expression import Value, parse
from suite.registry.schema import Cost, CostTerm, SiteKind
from suite.results.records import Ledger

BITS = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "F16": 16, "BF16": 16, "I16": 16}
BITS |= {"U8": 8, "I8": 8, "BOOL": 8}


def count(path: Path) -> Ledger:
    """Read a delta's cost from the header of its file.

    Raises ValueError if the header and the size of the file disagree, or if a tensor's number type
    has no known size.
    """
    # The layout of safetensors: eight bytes with the length of the header, the header in JSON, the
    # tensors. What is counted is thus what lies on disk, not what a model in memory reports.
    with path.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
    header.pop("__metadata__", None)
    shared = buffers = total = 0
    tasks: dict[str, int] = {}
    heads: dict[str, int] = {}
    for key, tensor in header.items():
        role, task, _ = key.split("/", 2)
        if tensor["dtype"] not in BITS:
            raise ValueError(
                f"{path.name}: tensor '{key}' is of the type {tensor['dtype']}; counted are "
                f"{', '.join(BITS)}"
            )
        bits = math.prod(tensor["shape"]) * BITS[tensor["dtype"]]
        total += bits
        match role:
            case "shared":
                shared += bits
            case "task":
                tasks[task] = tasks.get(task, 0) + bits
            case "head":
                heads[task] = heads.get(task, 0) + bits
            case "buffer":
                buffers += bits
            case _:
                raise ValueError(f"{path.name}: tensor '{key}' has no known role")
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


def disagreement(ledger: Ledger, expected: tuple[float, float], source: str) -> str:
    """How the counted file and the closed form (shared, summed over the tasks) of the YAML file
    `source` differ, in words; empty if they agree."""
    counted = (ledger.shared_bits / 32, sum(ledger.task_bits.values()) / 32)
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
        own |= {"i": module.in_features, "o": module.out_features, "k": 1}
    elif isinstance(module, nn.Conv2d):
        # A kernel of a grouped convolution spans the inputs of its own group only.
        per_group = module.in_channels // module.groups
        own |= {"i": per_group, "o": module.out_channels, "k": math.prod(module.kernel_size)}
    if isinstance(module, nn.Linear | nn.Conv2d):
        own["b"] = 0 if module.bias is None else module.bias.numel()
    return own
