"""What the cells of one process share, and the models that they begin with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from suite.backbones.base import Backbone
from suite.backbones.load import load_backbone
from suite.data.encode import EncodedTask, encode_task
from suite.data.transfer import fits
from suite.method import Method
from suite.method.model import AdaptedModel
from suite.planning.cells import Cell
from suite.registry import Registry
from suite.registry.schema import TaskEntry


@dataclass
class Workspace:
    """What the cells of one process share: loaded backbones and encoded tasks."""

    registry: Registry
    device: torch.device
    threads: int
    backbones: dict[str, Backbone] = field(default_factory=dict)
    encoded: dict[tuple[str, str, int, str], EncodedTask] = field(default_factory=dict)
    sound: set[tuple[object, ...]] = field(default_factory=set)
    """Settings on backbones that passed the guards."""

    def backbone(self, name: str) -> Backbone:
        """The pristine backbone; cells work on copies of it."""
        if name not in self.backbones:
            loaded = load_backbone(self.registry.backbones[name]).to(self.device)
            if loaded.entry.modality == "image":
                # oneDNN and cuDNN compute convolutions in this layout; kept in the other one,
                # every layer would convert its input and output.
                loaded = loaded.to(memory_format=torch.channels_last)
            self.backbones[name] = loaded
        return self.backbones[name]

    def task(self, cell: Cell, entry: TaskEntry) -> EncodedTask:
        """A task's examples for the cell's backbone, on the device if they fit there."""
        # Of the examples and of the code that encodes them: a change of either gives other tensors.
        digest = f"{cell.identity.tasks[entry.name]}.{cell.identity.parts['data']}"
        if self.registry.methods[cell.key.method].task_prefix:
            entry = entry.prefixed()
        template = entry.text.template if entry.text else ""
        # The methods and seeds of a worker's cells share these tensors.
        key = (digest, cell.key.backbone, cell.recipe.max_length, template)
        if key not in self.encoded:
            backbone = self.backbone(cell.key.backbone)
            encoded = encode_task(entry, cell.key.scale, backbone, cell.recipe.max_length, digest)
            if fits(encoded, self.device):
                encoded = encoded.to(self.device)
            self.encoded[key] = replace(encoded, task=entry)
        return self.encoded[key]

    def tasks(self, cell: Cell) -> list[EncodedTask]:
        """The examples of all tasks of the cell, in its order."""
        names = [f"{cell.key.track}/{task}" for task in cell.key.tasks]
        return [self.task(cell, self.registry.tasks[name]) for name in names]


def adapt_model(
    method: Method,
    pristine: Backbone,
    tasks: Sequence[TaskEntry],
    seed: int,
    device: torch.device,
) -> AdaptedModel:
    """A method's model on a fresh copy of the backbone, in evaluation mode on `device`.

    The method is not told where the tasks' examples are, so that it cannot read the test split.
    """
    torch.manual_seed(seed)
    described = [task.without_sources() for task in tasks]
    return method.adapt(pristine.fresh(), described).to(device).eval()
