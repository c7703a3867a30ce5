"""A workspace that says what it loads: a first cell waits for that longer than for a step."""

from collections.abc import Callable
from dataclasses import dataclass

from suite.backbones.base import Backbone
from suite.data.answers import require_answers
from suite.data.encode import EncodedTask
from suite.engine.workspace import Workspace
from suite.planning.cells import Cell
from suite.registry.schema import TaskEntry


@dataclass(kw_only=True)
class AnnouncingWorkspace(Workspace):
    """Tells `say` what a cell waits for before its first step."""

    say: Callable[[str], None]

    def backbone(self, name: str) -> Backbone:
        """The pristine backbone, as `Workspace.backbone`."""
        if name not in self.backbones:
            self.say(f"loading {name}")
        return super().backbone(name)

    def task(self, cell: Cell, entry: TaskEntry) -> EncodedTask:
        """A task's examples, as `Workspace.task`."""
        self.say(f"reading {entry.name}")
        encoded = super().task(cell, entry)
        if cell.key.scale.embedded:
            require_answers(encoded)
        return encoded
