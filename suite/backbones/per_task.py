"""Layers that differ from task to task inside one network."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from suite.backbones.parameters import ParameterSet


class TaskContext:
    """Which task the network serves now: one object, shared by every layer that switches."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self.tasks = tuple(tasks)
        self.active = self.tasks[0]
        self.rows: tuple[int, ...] | None = None
        """In a batch of several tasks, sorted by task, the rows of each; else None."""

    def activate(self, task: str) -> None:
        """Switch every layer that shares this context to `task`; raises KeyError if unknown."""
        if task not in self.tasks:
            raise KeyError(f"unknown task '{task}'; this model serves {', '.join(self.tasks)}")
        self.active = task

    @contextmanager
    def mixed(self, rows: Sequence[int]) -> Iterator[None]:
        """Serve batches of several tasks: first `rows[0]` rows of the first task, and so on."""
        self.rows = tuple(rows)
        try:
            yield
        finally:
            self.rows = None

    def apart(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`function` of each task's part of a mixed batch x [B * n, ...], the task being active."""
        assert self.rows is not None
        rows, active = self.rows, self.active
        parts = x.split([count * (len(x) // sum(rows)) for count in rows])
        self.rows = None
        outputs = []
        try:
            for task, part in zip(self.tasks, parts, strict=True):
                if len(part):
                    self.active = task
                    outputs.append(function(part))
        finally:
            self.rows, self.active = rows, active
        return torch.cat(outputs)


class PerTask(nn.Module):
    """One module per task behind one name; calls go to the active task's module.

    Everything inside is stored, counted and isolated per task. `head` marks output layers, which
    the ledger reports apart.
    """

    def __init__(
        self, context: TaskContext, modules: Mapping[str, nn.Module], head: bool = False
    ) -> None:
        super().__init__()
        self.context = context
        self.head = head
        self.by_task = nn.ModuleDict(modules)
        self.leader: str | None = None

    @classmethod
    def copies(cls, context: TaskContext, module: nn.Module, head: bool = False) -> "PerTask":
        """A trainable copy of `module` for every task."""
        copies = {task: copy.deepcopy(module).requires_grad_(True) for task in context.tasks}
        return cls(context, copies, head)

    @property
    def current(self) -> nn.Module:
        """The active task's module, or the one that serves all while they are tied."""
        return self.by_task[self.leader or self.context.active]

    @property
    def weight(self) -> nn.Parameter:
        """The current module's weight: T5 looks at its type before it calls a layer."""
        return self.current.weight

    def tie(self) -> None:
        """Let the first task's module serve every task, until `separate`."""
        self.leader = self.context.tasks[0]

    def separate(self) -> None:
        """Let every task go on alone from the state that all shared."""
        state = self.current.state_dict()
        self.leader = None
        for module in self.by_task.values():
            module.load_state_dict(state)

    def forward(self, *args: object, **kwargs: object) -> object:
        """Call the current module, in a mixed batch each task's module with its rows."""
        if self.context.rows is not None and self.leader is None:
            return self.context.apart(lambda x: self.current(x, *args[1:], **kwargs), args[0])
        return self.current(*args, **kwargs)


def parameters_of(model: nn.Module, task: str, head: bool = True) -> ParameterSet:
    """The parameters that belong to `task` alone, with or without those of its head."""
    return ParameterSet(
        parameter
        for module in model.modules()
        if isinstance(module, PerTask) and (head or not module.head)
        for parameter in module.by_task[task].parameters()
    )
