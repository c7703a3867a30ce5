"""Methods that break the contract, each with words of the message that must name its fault."""

FULL = """
from dataclasses import dataclass

import torch
from torch import nn

from suite.method import Method, ParameterGroup, PerTask, Phase, adapted, context_of


class Factor(nn.Module):
    def __init__(self, width, by=1.0):
        super().__init__()
        self.by = by
        self.factor = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x):
        return x + x * self.factor * self.by

"""

BROKEN = {
    "changes the backbone": (
        {
            "more": """
    def facts(self, model):
        return {}

    def penalty(self, model, progress):
        model.backbone.network.conv1.weight.data.mul_(1.001)
        return None
"""
        },
        "conv1.weight",
    ),
    "leaks batch-norm statistics": (
        {
            "python": """
from dataclasses import dataclass

from suite.method import Method, adapted, context_of


@dataclass(frozen=True)
class Leaky(Method):
    def adapt(self, backbone, tasks):
        for site in backbone.of_kind("norm"):
            norm = backbone.module(site)
            norm.weight.requires_grad_(False)
            norm.train = lambda mode=True, norm=norm: norm
            norm.training = True
        return adapted(backbone, tasks, context_of(tasks))
""",
            "cost": "0",
        },
        "running_mean",
    ),
    "undercounts": ({"cost": "norm - 2"}, "cost.per_task"),
    "forgets a buffer": (
        {
            "more": """
    def stored(self, model, names):
        return [name for name in names if not name.endswith("running_mean")]
"""
        },
        "not stored",
    ),
    "depends on values drawn anew": (
        {"adapt": "backbone.network.register_forward_hook(_noise(torch.rand(1).item()))"},
        "not stored",
    ),
    "depends on global randomness": (
        {"adapt": "model.heads.by_task[tasks[0].name].bias.data.fill_(np.random.rand())"},
        "same seed",
    ),
    "trains what gets no gradient": (
        {
            "adapt": "model.unused = nn.Parameter(torch.zeros(3))",
            "cost": "norm + 3",
        },
        "unused",
    ),
    "does not learn": (
        {
            "more": """
    def parameter_groups(self, model, parameters, recipe):
        from suite.method import ParameterGroup
        return (ParameterGroup(parameters, 0.0, 0.0),)
"""
        },
        "changes no parameter",
    ),
    "shares state between tasks": (
        {
            "python": """
from dataclasses import dataclass

import torch

from suite.method import Method, adapted, context_of

SHIFT = {}


@dataclass(frozen=True)
class Sharing(Method):
    def adapt(self, backbone, tasks):
        for task in tasks:
            SHIFT.setdefault(task.name, len(SHIFT))
        backbone.network.register_forward_hook(lambda module, args, out: out + len(SHIFT))
        backbone.specialise(backbone.of_kind("norm"), context := context_of(tasks))
        return adapted(backbone, tasks, context)
""",
        },
        "acts differently",
    ),
    "lets one task disturb another": (
        {
            "python": """
from dataclasses import dataclass

import torch
from torch import nn

from suite.method import Method, PerTask, adapted, context_of


class Shift(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))


@dataclass(frozen=True)
class Crosstalk(Method):
    def adapt(self, backbone, tasks):
        context = context_of(tasks)
        backbone.unfreeze(backbone.of_kind("norm"))
        model = adapted(backbone, tasks, context)
        model.shift = PerTask(
            context, {task.name: Shift(backbone.width) for task in tasks}
        )

        def mix(module, args, features):
            return features + sum(shift.vector for shift in model.shift.by_task.values())
        backbone.register_forward_hook(mix)
        return model
""",
            "regime": "joint",
            "cost": "norm",
        },
        "changes the output of",
    ),
    "lists a family it refuses": (
        {"adapt": 'raise Unsupported("no")'},
        "lists it in families",
    ),
    "changes a frozen buffer": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Drifting(Method):
    def adapt(self, backbone, tasks):
        return adapted(backbone, tasks, context_of(tasks))

    def penalty(self, model, progress):
        model.backbone.network.bn1.running_mean.add_(0.01)
""",
            "cost": "0",
        },
        "bn1.running_mean",
    ),
    "draws from Python's generator": (
        {"adapt": "import random; model.heads.by_task['reds'].bias.data.fill_(random.random())"},
        "same seed",
    ),
    "stores the whole backbone as its own": (
        {"adapt": "backbone.network.requires_grad_(True)"},
        "cost.per_task",
    ),
    "needs a buffer that no file holds": (
        {
            "adapt": """
        model.backbone.register_buffer("shift", torch.zeros(()), persistent=False)
        backbone.register_forward_hook(lambda module, args, out: out + module.shift)
""",
            "penalty": "model.backbone.shift.add_(0.1)",
        },
        "not stored",
    ),
    "trains a parameter that it hides": (
        {
            "adapt": """
        model.hidden = [nn.Parameter(torch.zeros(backbone.width))]
        backbone.register_forward_hook(lambda module, args, out: out + model.hidden[0])
""",
            "more": """
    def parameter_groups(self, model, parameters, recipe):
        return super().parameter_groups(model, [*parameters, *model.hidden], recipe)
""",
        },
        "not stored",
    ),
    "loads with another precision": (
        {
            "more": """
    def load(self, model, tensors):
        super().load(model, {name: tensor.half() for name, tensor in tensors.items()})
"""
        },
        "load() puts back",
    ),
    "leaves dropout on": (
        {
            "adapt": "backbone.register_forward_hook("
            "lambda module, args, out: nn.functional.dropout(out, 0.1))"
        },
        "is dropout or other randomness left on?",
    ),
    "answers by the batch": (
        {"adapt": "backbone.register_forward_hook(lambda module, args, out: out - out.mean(0))"},
        "the other examples of its batch",
    ),
    "keeps one parameter for all cells": (
        {
            "python": FULL
            + """
SHARED = {}


@dataclass(frozen=True)
class Global(Method):
    def adapt(self, backbone, tasks):
        model = adapted(backbone, tasks, context_of(tasks))
        model.shared = SHARED.setdefault("vector", nn.Parameter(torch.zeros(backbone.width)))
        backbone.register_forward_hook(lambda module, args, out: out + model.shared)
        return model
""",
            "cost": "d",
        },
        "trained twice with the same seed, the saved deltas differ",
    ),
    "counts right for two tasks only": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Joint(Method):
    def adapt(self, backbone, tasks):
        backbone.unfreeze(backbone.of_kind("norm"))
        return adapted(backbone, tasks, context_of(tasks))
""",
            "regime": "joint",
            "cost": "norm*(T - 1)",
        },
        "(a cell of one task)",
    ),
    "counts right for one width only": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Wide(Method):
    width: int

    def adapt(self, backbone, tasks):
        model = adapted(backbone, tasks, context_of(tasks))
        model.low = nn.Linear(self.width, backbone.width, bias=False)
        backbone.register_forward_hook(
            lambda module, args, out: out + out[:, : self.width] @ model.low.weight.T
        )
        return model
""",
            "cost": "8*d",
            "yaml": "options:\n  width: {default: 8, description: width}\n",
        },
        "(with width: 16)",
    ),
    "fails on a choice that it offers": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Picky(Method):
    where: str

    def adapt(self, backbone, tasks):
        if self.where == "there":
            raise ValueError("there is nothing there")
        backbone.unfreeze(backbone.of_kind("norm"))
        return adapted(backbone, tasks, context_of(tasks))
""",
            "yaml": "options:\n"
            "  where: {default: here, description: place, choices: [here, there]}\n",
        },
        "raises ValueError: there is nothing there",
    ),
    "inserts what does nothing": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Idle(Method):
    def adapt(self, backbone, tasks):
        for site in backbone.of_kind("block"):
            backbone.insert(site, Factor(site.width, by=0.0))
        return adapted(backbone, tasks, context_of(tasks))
""",
            "cost": "w",
            "yaml": "      each: [block]\n",
        },
        "never received one other than zero",
    ),
    "forgets a parameter group": (
        {
            "more": """
    def parameter_groups(self, model, parameters, recipe):
        return super().parameter_groups(model, [*parameters][2:], recipe)
"""
        },
        "is it in a parameter group and a phase?",
    ),
    "invents a fact": (
        {"more": "    def facts(self, model):\n        return {'speed': 1.0}"},
        "facts() reports 'speed', which subject.yaml does not list",
    ),
    "reports no fact": (
        {"yaml": "facts: {kept: what is kept}\n"},
        "lists 'kept' under facts, which facts() does not report",
    ),
    "states as a fact what is not stored": (
        {
            "more": "    def facts(self, model):\n        return {'kept': 7}",
            "yaml": "facts: {kept: what is kept}\n",
            "cost": "kept",
        },
        "cost.per_task",
    ),
    "states a fact that the file does not bear out": (
        {
            "adapt": "model.seen = 0",
            "penalty": "model.seen = 1",
            "more": "    def facts(self, model):\n        return {'seen': model.seen}",
            "yaml": "facts: {seen: whether it was trained}\n",
            "cost": "norm*max(seen, 1)",
        },
        "the fact seen is 1 after training, 0",
    ),
    "passes an adapter off as a head": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Free(Method):
    def adapt(self, backbone, tasks):
        context = context_of(tasks)
        for site in backbone.of_kind("block"):
            layers = {task.name: Factor(site.width) for task in tasks}
            backbone.insert(site, PerTask(context, layers, head=True))
        return adapted(backbone, tasks, context)
""",
            "cost": "0",
        },
        "is stored as a head",
    ),
    "passes what it learns off as a statistic": (
        {
            "adapt": """
        model.register_buffer("learned", torch.zeros(backbone.width))
        backbone.register_forward_hook(lambda module, args, out: out + model.learned)
""",
            "penalty": "model.learned.add_(0.01)",
        },
        "learned would be stored as a running statistic",
    ),
    "trains longer than the others": (
        {
            "more": """
    def phases(self, model):
        from suite.method import Phase
        return (Phase(tuple(model.tasks), share=3.0),)
"""
        },
        "take 30 steps where the recipe has 10",
    ),
    "sets the seed": (
        {"adapt": "torch.manual_seed(0)"},
        "every seed would give the same model",
    ),
    "does not run": (
        {"adapt": "backbone.network.conv9"},
        "raises AttributeError: ",
    ),
    "inserts nothing on this family": (
        {
            "python": FULL
            + """
@dataclass(frozen=True)
class Nowhere(Method):
    def adapt(self, backbone, tasks):
        context = context_of(tasks)
        for site in backbone.of_kind("attention"):
            backbone.insert(site, PerTask(context, {task.name: Factor(1) for task in tasks}))
        return adapted(backbone, tasks, context)
""",
            "cost": "w",
            "yaml": "      each: [attention]\n",
        },
        "nothing but heads is stored on resnet",
    ),
    "leaves nothing to train": (
        {"adapt": "model.requires_grad_(False)"},
        "no parameter is left to train on resnet",
    ),
    "stores what is not there": (
        {"more": "    def stored(self, model, names):\n        return [*names, 'more']"},
        "raises KeyError: 'more'",
    ),
}

NOISE = """

def _noise(value):
    return lambda module, args, out: out + value
"""
