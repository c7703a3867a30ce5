"""A result against its delta: loaded and scored again, without training."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from suite.data.batching import Batches
from suite.engine.delta import delta_digest
from suite.engine.ledger import closed_form, count, disagreement, parameters
from suite.engine.predictor import Predictor, load_predictor
from suite.engine.scoring import predictions
from suite.engine.workspace import Workspace
from suite.errors import Diverged, UserError
from suite.planning.cells import Cell
from suite.planning.outdated import request_for
from suite.planning.plan import plan
from suite.registry import Registry
from suite.registry.metrics import ordered
from suite.registry.schema import Regression, TaskEntry
from suite.results.records import Result, TaskScore
from suite.results.scores import evaluate, score


@dataclass(frozen=True)
class Tolerance:
    """How much another machine may answer otherwise: single answers near a boundary move where it
    rounds differently. One answer always may."""

    answers: float
    """Share of a task's answers."""
    numbers: float
    """Share of a regression's range, or of that of log-odds, by which a number may move without
    being another answer."""


SAME_KIND = Tolerance(answers=0.001, numbers=0.001)
"""From CPU to CPU or GPU to GPU: they add in another order."""
OTHER_KIND = Tolerance(answers=0.01, numbers=0.02)
"""From a GPU to a CPU or back: one computes in bfloat16."""


@dataclass(frozen=True)
class Rescored:
    """What scoring a delta again shows."""

    problems: tuple[str, ...] = ()
    """What the delta contradicts in its result, in words."""
    answers: int = 0
    """Answers of all tasks."""
    otherwise: int = 0
    """Those that are not the recorded ones."""
    difference: float = 0.0
    """Largest difference between a task's recorded score and the one found here, in points."""


class Rescorer:
    """Scores deltas again on one device (`cpu`, `cuda:0`)."""

    def __init__(self, registry: Registry, device: str) -> None:
        self.registry = registry
        self.device = device
        self._workspace = Workspace(registry, torch.device(device), torch.get_num_threads())

    def rescore(self, result: Result, delta: Path) -> Rescored:
        """Load the delta of a result that agrees with itself into a fresh backbone, and score it.

        Raises `UserError` if the delta cannot be loaded, or if what it belongs to is not here.
        """
        if result.delta and delta_digest(delta) != result.delta:
            return Rescored((f"{delta.name} is not the file that was scored",))
        if "data" not in result.identity.parts:
            raise UserError(f"{result.cell.label} is too old to be scored again")
        model = load_predictor(delta, self.registry, self.device)
        if model.origin.cell != result.cell:
            return Rescored((f"{delta.name} belongs to {model.origin.cell.label}",))
        if model.origin.options != result.options:
            return Rescored((f"options are not those that {delta.name} was trained with",))
        if result.recipe is None:
            return Rescored(("recipe is missing",))
        problems = [*self._costs(result, delta)]
        # The examples are kept by what they are now, whatever the result says of them.
        planned = plan(request_for([result]), self.registry).planned
        now = next((each.cell.identity for each in planned if each.cell.key == result.cell), None)
        if now is None or "data" not in now.parts:
            raise UserError(f"{result.cell.label}: its entries are gone or broken")
        cell = Cell(result.cell, result.recipe, result.options, now)
        tolerance = self._tolerance(result)
        otherwise, difference = 0, 0.0
        for own in result.scores:
            task = self.registry.tasks[f"{result.cell.track}/{own.task}"]
            try:
                moved, here = self._scored(own, task, model, cell, tolerance)
            except (ValueError, Diverged) as error:
                problems.append(str(error))
                continue
            if moved > max(1, tolerance.answers * len(own.targets)):
                problems.append(
                    f"{own.task}: the delta answers {moved} of {len(own.targets)} otherwise and "
                    f"scores {here:.4f}, not {own.score}"
                )
            elif _is_of_numbers(task) and abs(here - own.score) > 100 * tolerance.answers:
                # Each of many numbers may lie within its room, and all on the side of the target.
                problems.append(f"{own.task}: the delta scores {here:.4f}, not {own.score}")
            otherwise += moved
            difference = max(difference, abs(here - own.score))
        answers = sum(len(own.targets) for own in result.scores)
        return Rescored(tuple(problems), answers, otherwise, round(difference, 4))

    def _costs(self, result: Result, delta: Path) -> Iterator[str]:
        """What is wrong with the numbers from which costs are computed."""
        try:
            ledger = count(delta)
        except ValueError as error:
            yield str(error)
            return
        if result.ledger and ledger != result.ledger.model_copy(update={"closed_form": True}):
            yield "ledger is not what the delta holds"
        backbone = self._workspace.backbone(result.cell.backbone)
        total = backbone.parameter_count()
        if result.backbone_parameters != total:
            yield f"backbone_parameters is {result.backbone_parameters}, not {total}"
        entry = self.registry.methods[result.cell.method]
        if result.ledger and result.ledger.closed_form != entry.cost_stated:
            yield f"ledger.closed_form is {result.ledger.closed_form}"
        if entry.cost_stated:
            tasks = len(result.cell.tasks)
            expected = closed_form(entry.cost, backbone, tasks, dict(result.options), result.facts)
            if difference := disagreement(parameters(delta), expected, entry.path.name):
                yield difference

    def _scored(
        self, own: TaskScore, task: TaskEntry, model: Predictor, cell: Cell, tolerance: Tolerance
    ) -> tuple[int, float]:
        """How many answers are not the recorded ones, and the score of those given here.

        Raises ValueError if the result is of other test examples.
        """
        test = self._workspace.task(cell, task).test
        targets, recorded = test.targets.cpu().numpy(), np.array(own.predictions)
        # Numbers are recorded with four digits.
        if np.shape(own.targets) != targets.shape or not np.allclose(targets, own.targets, 0, 1e-4):
            raise ValueError(f"{own.task}: targets are not those of the test examples here")
        backbone = self._workspace.backbone(cell.key.backbone).entry
        batches = Batches(task.name, test, backbone, self._workspace.device)
        answers = predictions(model.model, batches)
        if recorded.shape != answers.shape:
            raise ValueError(f"{own.task}: predictions do not have the form of the task's answers")
        room = 0.0
        if isinstance(task.output, Regression):
            room = tolerance.numbers * (task.output.maximum - task.output.minimum)
        elif ordered(task.metrics):
            room = tolerance.numbers * float(np.ptp(answers))
        elsewhere = np.abs(answers - recorded) > room
        moved = int(elsewhere.reshape(len(answers), -1).any(axis=1).sum())
        return moved, score(evaluate(task, answers, targets))

    def _tolerance(self, result: Result) -> Tolerance:
        there = result.environment.device if result.environment else ""
        alike = there.partition(":")[0] == self.device.partition(":")[0]
        return SAME_KIND if alike else OTHER_KIND


def _is_of_numbers(task: TaskEntry) -> bool:
    """Whether answers are numbers, of which every one may differ a little."""
    return isinstance(task.output, Regression) or ordered(task.metrics)
