"""A registry of two easy image tasks and of methods that misbehave, each in a way of its own."""

from collections import Counter
from pathlib import Path

TASKS = """\
import numpy as np

from suite.mini import Splits

PIXELS = 12


def _split(rng, shift, count):
    label = np.arange(count) % 2
    image = rng.integers(0, 120, (count, PIXELS, PIXELS, 3))
    image[..., shift] += (label * 120)[:, None, None]
    return {"image": image.astype(np.uint8), "label": label.astype(np.int64)}


def _task(shift):
    rng = np.random.Generator(np.random.PCG64(shift))
    return Splits(*(_split(rng, shift, count) for count in (96, 48, 48)))


def reds():
    return _task(0)


def blues():
    return _task(2)
"""

TASK = """\
schema: 1
name: {name}
description: Is there much of one colour?
modality: image
output: {{type: classification, labels: [little, much]}}
metrics: [accuracy]
sources:
  mini: {{python: colours.py, function: {name}, version: 1, digest: {digest}}}
licence: Apache-2.0
"""

TRACK = """\
schema: 1
name: colours
description: Two tasks that any network learns in a few steps.
modality: image
tasks: [reds, blues]
backbones: {mini: [resnet_mini]}
recipe:
  mini:
    default: {steps: 12, batch_size: 16, evaluations: 2, learning_rate: 1.0e-2}
"""

METHOD = """\
schema: 1
name: {name}
title: {name}
summary: For tests.
regime: {regime}
families: [resnet]
unsupported: {{densenet: toy, vit: toy, bert: toy, t5: toy}}
reference: {{title: none}}
cost:
  {role}:
    - count: "{cost}"
"""

PYTHON = """\
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from suite.errors import Unsupported
from suite.method import Method, PerTask, adapted, context_of


@dataclass(frozen=True)
class Toy(Method):
    def adapt(self, backbone, tasks):
        context = context_of(tasks)
        backbone.specialise(backbone.of_kind("norm"), context)
        model = adapted(backbone, tasks, context)
        {adapt}
        return model
{more}
"""

PENALTY = """
    def penalty(self, model, progress):
        {}
"""

# Facts are asked for after the training, and of a model that is only looked at beforehand. A
# worker's output goes to the log of its cell, which so names the cell.
COUNTED = """
    def phases(self, model):
        model.is_trained = True
        return super().phases(model)

    def facts(self, model):
        if not hasattr(model, "is_trained"):
            return {}
        with open(os.environ["TRAINED"], "a") as file:
            file.write(os.readlink("/proc/self/fd/1") + "\\n")
        return {}
"""

SHARED_ADAPT = """\
context = context_of(tasks)
        backbone.unfreeze(backbone.of_kind("norm"))
        model = adapted(backbone, tasks, context)"""


def write_tasks(folder: Path, pixels: int = 12) -> None:
    """A track of two tasks, with the digests that its generator really has."""
    source = TASKS.replace("PIXELS = 12", f"PIXELS = {pixels}")
    track = folder / "tasks" / "colours"
    track.mkdir(parents=True)
    (track / "colours.py").write_text(source)
    made: dict = {}
    exec(compile(source, "colours.py", "exec"), made)
    for name in ("reds", "blues"):
        text = TASK.format(name=name, digest=made[name]().digest())
        (track / f"{name}.yaml").write_text(text)
    (track / "track.yaml").write_text(TRACK)


def write_method(
    folder: Path,
    name: str,
    *,
    adapt: str = "pass",
    more: str = "",
    penalty: str = "",
    cost: str = "norm",
    regime: str = "per_task",
    python: str | None = None,
    yaml: str = "",
) -> None:
    """A method that trains norms and a head, with one peculiarity; `yaml` is added to its file."""
    methods = folder / "methods"
    methods.mkdir(parents=True, exist_ok=True)
    role = "per_task" if regime == "per_task" else "shared"
    text = METHOD.format(name=name, regime=regime, role=role, cost=cost)
    (methods / f"{name}.yaml").write_text(text + yaml)
    more += PENALTY.format(penalty) if penalty else ""
    source = python or PYTHON.format(adapt=adapt, more=more)
    (methods / f"{name}.py").write_text(source)


def trainings(log: Path) -> Counter[str]:
    """How often each cell of methods that are `COUNTED` was trained to the end. Their TRAINED is
    the path of the log."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(Path(line).parent.name for line in lines)
