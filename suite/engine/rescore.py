"""A result against its delta: loaded and scored again, without training."""

from pathlib import Path

import torch

from suite.data.batching import Batches
from suite.engine.cell import Workspace
from suite.engine.delta import delta_digest
from suite.engine.ledger import closed_form, count, disagreement, parameters
from suite.engine.loop import predictions
from suite.engine.predictor import load_predictor
from suite.errors import UserError
from suite.planning.cells import Cell
from suite.registry import Registry
from suite.registry.schema import Classification
from suite.results.records import Result

TOLERANCE = 0.02
"""Share of a regression's range by which answers may differ from machine to machine."""
FEW = 0.01
"""Share of the answers that may differ there."""


def problems(result: Result, delta: Path, registry: Registry, device: str) -> list[str]:
    """What the delta contradicts in a result that agrees with itself, in words; empty if nothing.

    Raises `UserError` if the delta cannot be loaded because what it belongs to is not here.
    """
    if result.delta and delta_digest(delta) != result.delta:
        return [f"{delta.name} is not the file that was scored"]
    model = load_predictor(delta, registry, device)
    if model.origin.cell != result.cell:
        return [f"{delta.name} belongs to {model.origin.cell.label}"]
    found = []
    ledger = count(delta)
    if result.ledger and ledger != result.ledger.model_copy(update={"closed_form": True}):
        found.append("ledger is not what the delta holds")
    entry = registry.methods[result.cell.method]
    workspace = Workspace(registry, torch.device(device), torch.get_num_threads())
    if entry.cost_stated:
        backbone = workspace.backbone(result.cell.backbone)
        tasks = len(result.cell.tasks)
        expected = closed_form(entry.cost, backbone, tasks, dict(result.options), result.facts)
        if difference := disagreement(parameters(delta), expected, entry.path.name):
            found.append(difference)
    if result.recipe is None:
        return [*found, "recipe is missing"]
    cell = Cell(result.cell, result.recipe, result.options, result.identity)
    for own in result.scores:
        task = registry.tasks[f"{result.cell.track}/{own.task}"]
        encoded = workspace.task(cell, task)
        entry_of_backbone = registry.backbones[result.cell.backbone]
        answers = predictions(model.model, Batches(task.name, encoded.test, entry_of_backbone))
        targets = encoded.test.targets.cpu().numpy()
        if len(targets) != len(own.targets):
            raise UserError(
                f"{own.task}: {len(targets)} test examples are here, the result has "
                f"{len(own.targets)}"
            )
        # Another machine may round differently, which moves single answers near a boundary.
        room = 0.0
        if not isinstance(task.output, Classification):
            room = TOLERANCE * (max(own.targets) - min(own.targets))
        pairs = zip(answers, own.predictions, strict=True)
        apart = sum(abs(float(answer) - recorded) > room for answer, recorded in pairs)
        if apart > FEW * len(own.targets):
            found.append(f"{own.task}: the delta answers {apart} of {len(own.targets)} otherwise")
    return found
