"""What every cell is held to while it runs."""

import math
from pathlib import Path

import torch

from suite.backbones.base import Backbone
from suite.data.batching import Batches
from suite.engine.arithmetic import arithmetic
from suite.engine.delta import changed_tensors
from suite.engine.ledger import closed_form, count, disagreement, parameters
from suite.method import Method
from suite.method.model import AdaptedModel
from suite.planning.cells import Cell
from suite.registry.schema import MethodEntry
from suite.results.records import Ledger

RESTORE_BATCH = 64


class CellError(Exception):
    """A method breaks its contract: it leaks, undercounts or cannot be restored."""


def finite(facts: dict[str, float]) -> dict[str, float]:
    """The facts; raises CellError for one that is no number, which no result can hold."""
    for name, value in facts.items():
        if not math.isfinite(value):
            raise CellError(f"the method reports the fact {name} = {value}")
    return facts


def check_backbone(model: AdaptedModel, pristine: Backbone, method: Method) -> None:
    """Raises CellError if training changed a tensor of the backbone that is not stored."""
    leaked = changed_tensors(model, pristine, method)
    if leaked:
        raise CellError(
            f"training changed {len(leaked)} tensors of the backbone that are not stored, "
            f"first {leaked[0]}: the backbone must stay as it was"
        )


def counted(
    delta: Path, entry: MethodEntry, pristine: Backbone, cell: Cell, facts: dict[str, float]
) -> Ledger:
    """The counted cost, marked if the method states no closed form.

    Raises CellError if it is not what the closed form says.
    """
    ledger = count(delta)
    if not entry.cost_stated:
        return ledger.model_copy(update={"closed_form": False})
    expected = closed_form(entry.cost, pristine, len(cell.key.tasks), cell.options, facts)
    difference = disagreement(parameters(delta), expected, entry.path.name)
    if difference:
        raise CellError(difference)
    return ledger


def check_restored(model: AdaptedModel, restored: AdaptedModel, validation: Batches) -> None:
    """Raises CellError if the model has another loss when it is restored from its file."""
    _, batch = next(validation.evaluation(RESTORE_BATCH))
    with torch.no_grad(), arithmetic(model, batch.targets.device):
        before, after = float(model.loss(batch)), float(restored.loss(batch))
    # On a GPU the libraries may choose other kernels for the new object, which round differently.
    tolerance = 0.0 if batch.targets.device.type == "cpu" else 0.01
    if not math.isclose(before, after, rel_tol=tolerance):
        raise CellError(
            f"restored from its file, the model has a loss of {after:.6g} on validation examples "
            f"of {validation.task} where it had {before:.6g}: something that matters is not stored"
        )
