"""Layers that differ from task to task inside one network."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from suite.backbones.parameters import ParameterSet


class TaskContext:
    """Which task the network serves now: one object, shared by every layer that switches."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self.tasks = tuple(tasks)
        self.active = self.tasks[0]
        self.counts: tuple[int, ...] | None = None
        """In a batch of several tasks, sorted by task, how many examples each has; else None."""

    def activate(self, task: str) -> None:
        """Switch every layer that shares this context to `task`; raises KeyError if unknown."""
        if task not in self.tasks:
            raise KeyError(f"unknown task '{task}'; this model serves {', '.join(self.tasks)}")
        self.active = task

    @contextmanager
    def mixed(self, counts: Sequence[int]) -> Iterator[None]:
        """Serve batches of several tasks: `counts[0]` examples of the first task, and so on."""
        self.counts = tuple(counts)
        try:
            yield
        finally:
            self.counts = None

    def task_by_task(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`function` of each task's part of a mixed batch x [B * n, ...], the task being active;
        n rows of x, such as the tokens of a text, belong to one example."""
        assert self.counts is not None
        counts, active = self.counts, self.active
        parts = x.split([count * (len(x) // sum(counts)) for count in counts])
        self.counts = None
        outputs = []
        try:
            for task, part in zip(self.tasks, parts, strict=True):
                if len(part):
                    self.active = task
                    outputs.append(function(part))
        finally:
            self.counts, self.active = counts, active
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
    def weight(self) -> Tensor:
        """The current module's weight: T5 looks at its type before it calls a layer."""
        weight = self.current.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def splits_batch(self) -> bool:
        """Whether this batch is one of several tasks, each of which is now served by its own."""
        return self.context.counts is not None and self.leader is None

    def tie(self) -> None:
        """Let the first task's module serve every task, until `separate`."""
        self.leader = self.context.tasks[0]

    def separate(self) -> None:
        """Let every task go on alone from the state that all shared."""
        state = self.current.state_dict()
        self.leader = None
        for module in self.by_task.values():
            module.load_state_dict(state)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the current module, in a mixed batch each task's module with its rows."""
        if self.splits_batch:
            first, *rest = args
            return self.context.task_by_task(lambda x: self.current(x, *rest, **kwargs), first)
        return self.current(*args, **kwargs)


def parameters_of(model: nn.Module, task: str, head: bool = True) -> ParameterSet:
    """The parameters that belong to `task` alone, with or without those of its head."""
    return ParameterSet(
        parameter
        for module in model.modules()
        if isinstance(module, PerTask) and (head or not module.head)
        for parameter in module.by_task[task].parameters()
    )
