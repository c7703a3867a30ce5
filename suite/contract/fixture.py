"""Where a method's contract is tested: the mini backbone of a family, two tasks, a few steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from suite.backbones.base import Backbone
from suite.data.batching import Batch, Batches
from suite.data.encode import EncodedTask, Examples, encode_task
from suite.engine.delta import load_delta, save_delta
from suite.engine.loop import train
from suite.engine.rounding import Rounding
from suite.engine.training_data import TaskBatches
from suite.engine.workspace import Workspace, adapt_model
from suite.errors import UserError
from suite.method import Method
from suite.method.load import load_method
from suite.method.model import AdaptedModel
from suite.planning.code_cache import Codes
from suite.planning.recipes import resolve_recipe
from suite.planning.request import Request
from suite.registry import Registry
from suite.registry.options import default_options
from suite.registry.schema import (
    BackboneEntry,
    Family,
    MethodEntry,
    OptionValue,
    Recipe,
    Scale,
    TaskEntry,
)

EXAMPLES = 48
STEPS = 10
BATCH = 16
SEED = 1


class Fault(Exception):
    """A check that a method fails."""


@dataclass
class Bench:
    """A method on one backbone, with the models and batches that the checks share."""

    entry: MethodEntry
    method: Method
    options: Mapping[str, OptionValue]
    backbone: Backbone
    tasks: Sequence[TaskEntry]
    recipe: Recipe
    data: Mapping[str, TaskBatches]
    folder: Path
    reached: set[str] = field(default_factory=set)
    """Parameters that training gave a gradient that is not zero."""
    moved: set[str] = field(default_factory=set)
    """Parameters that training changed, be it for a while."""

    def adapt(self, tasks: Sequence[TaskEntry], seed: int = SEED) -> AdaptedModel:
        """The untrained model for some of the tasks."""
        return adapt_model(self.method, self.backbone, tasks, seed, torch.device("cpu"))

    def train(
        self,
        tasks: Sequence[TaskEntry],
        recipe: Recipe | None = None,
        method: Method | None = None,
        watch: Callable[[AdaptedModel], None] | None = None,
    ) -> AdaptedModel:
        """The model after a few steps on some of the tasks; `watch` sees it after each of them."""
        model = self.adapt(tasks)
        names = {parameter: name for name, parameter in model.named_parameters()}

        def note(parameter: nn.Parameter) -> None:
            assert parameter.grad is not None, "the hook runs once there is a gradient"
            if names[parameter] not in self.reached and parameter.grad.any():
                self.reached.add(names[parameter])

        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(note)
        data = {task.name: self.data[task.name] for task in tasks}
        before = [parameter.detach().clone() for parameter in model.parameters()]

        def note_moved() -> None:
            for parameter, value in zip(model.parameters(), before, strict=True):
                name = names[parameter]
                if name not in self.moved and not torch.equal(parameter, value):
                    self.moved.add(name)

        def after_step(step: int, steps: int) -> None:
            # A merge may undo what steps have moved.
            note_moved()
            if watch:
                watch(model)

        train(model, method or self.method, data, recipe or self.recipe, SEED, after_step)
        note_moved()
        # A method's stepper may bring gradients to a parameter without the help of autograd.
        self.reached |= self.moved
        return model

    def save(self, model: AdaptedModel, name: str, rounding: Rounding | None = None) -> Path:
        """The model's delta as a file, in float32 or rounded."""
        path = self.folder / f"{name}.safetensors"
        save_delta(path, model, self.method, self.entry.regime, rounding=rounding)
        return path

    def restore(self, path: Path, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """A new model from a file, adapted under another seed."""
        model = self.adapt(tasks, seed=SEED + 1)
        load_delta(path, model, self.method)
        return model

    def batch(self, task: TaskEntry) -> Batch:
        """A fixed batch of a task's training examples."""
        return next(self.data[task.name].train.evaluation(BATCH))[1]

    @property
    def served(self) -> Sequence[TaskEntry]:
        """The tasks of one cell: both if the method is joint, else the first."""
        return self.tasks if self.entry.regime == "joint" else self.tasks[:1]


def make_bench(entry: MethodEntry, registry: Registry, family: Family, folder: Path) -> Bench:
    """The method, the family's mini backbone and two tasks of a track that uses it."""
    backbone_entry, tasks = family_bench(registry, family)
    options = default_options(entry, Scale.MINI)
    workspace = Workspace(registry, torch.device("cpu"), threads=1)
    backbone = workspace.backbone(backbone_entry.name)
    request = Request(methods=(entry.name,), tasks=())
    track = registry.tracks[tasks[0].track]
    recipe = resolve_recipe(request, track, tasks, entry, backbone_entry)
    # A rate that was searched over hundreds of steps overshoots in ten.
    recipe = recipe.model_copy(
        update={
            "learning_rate": recipe.learning_rate / 3,
            "head_learning_rate": (recipe.head_learning_rate or recipe.learning_rate) / 3,
            "steps": STEPS,
            "batch_size": BATCH,
            "evaluations": 1,
            "temperature": 1e6,
            # Weight decay would move parameters that get no gradient.
            "weight_decay": 0.0,
        }
    )
    code = Codes().of(entry, options, backbone_entry, Scale.MINI).parts["data"]
    data = {}
    for task in tasks:
        assert task.sources.mini is not None
        digest = f"{task.sources.mini.digest}.{code}"
        encoded = encode_task(task, Scale.MINI, backbone, recipe.max_length, digest)
        data[task.name] = _small(encoded, backbone_entry)
    return Bench(
        entry=entry,
        method=load_method(entry, options),
        options=options,
        backbone=backbone,
        tasks=tasks,
        recipe=recipe,
        data=data,
        folder=folder,
    )


def family_bench(registry: Registry, family: Family) -> tuple[BackboneEntry, tuple[TaskEntry, ...]]:
    """The mini backbone of a family and two tasks of a track that uses it: its first, and one with
    another type of output if there is one."""
    for track in registry.tracks.values():
        for name in track.backbones.get(Scale.MINI, ()):
            if name in registry.backbones and registry.backbones[name].family == family:
                first, *rest = registry.tasks_of(track)
                if not rest:
                    continue
                second = min(rest, key=lambda task: task.output.type == first.output.type)
                return registry.backbones[name], (first, second)
    raise UserError(
        f"no track of two tasks in this registry has a mini backbone of the family {family}"
    )


def _small(encoded: EncodedTask, backbone: BackboneEntry) -> TaskBatches:
    def some(examples: Examples) -> Batches:
        rows = torch.arange(min(EXAMPLES, len(examples)))
        return Batches(encoded.task.name, examples.take(rows), backbone)

    return TaskBatches(some(encoded.train), some(encoded.validation))
