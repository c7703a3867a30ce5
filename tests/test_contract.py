"""The contract test has teeth: each broken method fails with a message that names its fault."""

import pytest
from toy import SHARED_ADAPT, write_method, write_tasks

from suite.contract import check_method
from suite.registry import load

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
}

NOISE = """

def _noise(value):
    return lambda module, args, out: out + value
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def faults(tmp_path):
    def check(**method):
        write_tasks(tmp_path)
        write_method(tmp_path, "subject", **method)
        source = tmp_path / "methods" / "subject.py"
        source.write_text(source.read_text() + NOISE)
        registry = load(tmp_path)
        registry.require_valid()
        findings = check_method(registry.methods["subject"], registry, "resnet")
        return [finding.fault for finding in findings if finding.fault]

    return check


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_method_is_caught_and_its_fault_named(faults, fault):
    method, words = BROKEN[fault]
    found = faults(**method)
    assert any(words in message for message in found), found


def test_a_sound_method_has_no_faults(faults):
    assert faults() == []


def test_a_sound_joint_method_has_no_faults(faults):
    python = f"""
from dataclasses import dataclass

from suite.method import Method, adapted, context_of


@dataclass(frozen=True)
class Joint(Method):
    def adapt(self, backbone, tasks):
        {SHARED_ADAPT}
        return model
"""
    assert faults(python=python, regime="joint") == []
