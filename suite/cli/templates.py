"""The commented files that `new` writes."""

from collections.abc import Sequence

from suite.registry.metrics import METRICS
from suite.registry.schema import Modality, Scale

METHOD_YAML = """\
schema: 1
name: NAME
title: A short name for tables
summary: One sentence on what the method changes and what it stores.
# per_task: one model per task. joint: one model for all tasks of a track.
regime: per_task
# Defined on every family that has these sites (suite/backbones/sites.py).
needs: [feed_forward]
# The families it was written for.
families: [vit, bert]
# Those among the others where it makes no sense, with the reason.
unsupported:
  t5: Say why.
reference:
  title: The paper
  url: https://arxiv.org/abs/0000.00000
# The options are the fields of the class in NAME.py.
options:
  reduction:
    default: 8
    description: Width of a layer over that of its bottleneck.
# The method's own keys, by scale, then default or a family; steps, schedule and so on are the
# track's.
recipe:
  mini:
    default:
      learning_rate: 3.0e-3
# What `python -m suite tune NAME` tries: scale, then default or a family.
tuning:
  mini:
    default: [3.0e-4, 1.0e-3, 3.0e-3, 1.0e-2]
# Parameters stored, in closed form, heads aside: checked against every saved file.
# Names: the options, the facts the method reports, and those of suite/registry/cost_names.py.
cost:
  per_task:
    - each: [feed_forward]
      count: 2*w*(w//reduction) + w//reduction + w
"""

METHOD_PYTHON = '''\
"""What the method does, in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from suite.method import (
    AdaptedModel,
    Backbone,
    Method,
    PerTask,
    TaskEntry,
    adapted,
    context_of,
)


class Bottleneck(nn.Module):
    """A residual bottleneck that starts as the identity."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // reduction)
        self.up = nn.Linear(width // reduction, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., width] to the same shape."""
        return x + self.up(self.down(x).relu())


@dataclass(frozen=True)
class CLASS(Method):
    """The paper, and the equations that this follows."""

    reduction: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Insert a bottleneck of the task after every feed-forward sublayer."""
        context = context_of(tasks)
        for site in backbone.of_kind("feed_forward"):
            layers = {task.name: Bottleneck(site.width, self.reduction) for task in tasks}
            backbone.insert(site, PerTask(context, layers))
        return adapted(backbone, tasks, context)
'''

_TRACK = """\
schema: 1
name: TRACK
description: What these tasks have in common
modality: MODALITY
tasks: [NAME]
# Where the track is defined: mini needs a mini source in every task, full a full one. Its backbones
# are those that a run takes when -b names none.
backbones:
  SCALE: [BACKBONE]
# mean of the task scores, or decathlon
score: mean
recipe:
  SCALE:
    default:
      steps: STEPS
      batch_size: 32
      learning_rate: 1.0e-3
"""
_BACKBONES: dict[tuple[Scale, Modality], str] = {
    (Scale.MINI, "text"): "bert_mini",
    (Scale.MINI, "image"): "vit_mini",
    (Scale.FULL, "text"): "minilm",
    (Scale.FULL, "image"): "vit_tiny",
}
_STEPS = {Scale.MINI: "100", Scale.FULL: "300"}

_TEXT_GENERATOR = '''\
"""Makes the examples of the task. Change it, raise `version` in the YAML, and copy the new digest
from the message that follows."""

import numpy as np

from suite.mini import Splits

WORDS = ("red", "green", "blue", "round", "square", "small", "large")


def make() -> Splits:
    """Is the first word among the others? The same examples on every machine."""
    generator = np.random.Generator(np.random.PCG64(0))
    drawn = [tuple(WORDS[i] for i in row) for row in generator.integers(len(WORDS), size=(2000, 5))]
    rows = list(dict.fromkeys(drawn))  # no example twice, so none in two splits
    return Splits(_split(rows[:512]), _split(rows[512:640]), _split(rows[640:896]))


def _split(rows: list[tuple[str, ...]]) -> dict[str, object]:
    return {
        "sentence": [" ".join(row) for row in rows],
        "label": np.array([row[0] in row[1:] for row in rows], dtype=np.int64),
    }
'''

_IMAGE_GENERATOR = '''\
"""Makes the examples of the task. Change it, raise `version` in the YAML, and copy the new digest
from the message that follows."""

import numpy as np

from suite.mini import Splits

SIZE = 24


def make() -> Splits:
    """Is the brighter half on the left or on the right? The same images on every machine."""
    generator = np.random.Generator(np.random.PCG64(0))
    return Splits(*(_split(generator, rows) for rows in (512, 128, 256)))


def _split(generator: np.random.Generator, rows: int) -> dict[str, object]:
    label = generator.integers(2, size=rows)
    image = generator.integers(0, 200, size=(rows, SIZE, SIZE, 3))
    image[label == 0, :, : SIZE // 2] += 50
    image[label == 1, :, SIZE // 2 :] += 50
    return {"image": image.astype(np.uint8), "label": label}
'''

GENERATORS: dict[Modality, str] = {"text": _TEXT_GENERATOR, "image": _IMAGE_GENERATOR}

_TASK_HEAD = """\
schema: 1
name: NAME
description: What is asked, in one line
modality: MODALITY
# classification with labels in the order of their indices (or how many there are),
# {type: multilabel, labels: [...]} if an example has any number of them, or
# {type: regression, minimum: 0, maximum: 5}
output:
  type: classification
  labels: ["no", "yes"]
# CHOICES
metrics: [accuracy]
"""

_TASK_TEXT = """\
text:
  columns: [sentence]
  # The source text of a text-to-text backbone.
  template: "NAME sentence: {sentence}"
"""

_TASK_MINI = """\
  mini:
    python: PYTHON
    function: make
    version: 1
    digest: DIGEST
"""

_TASK_FULL = """\
  # A data set on the hub, or the same layout below $SUITE_DATA/datasets.
  full:
    hub: owner/data-set
    config: default
    split_rule: named
    splits: {train: train, validation: validation, test: test}
"""

_TASK_TAIL = """\
licence: Say under which licence the data may be used
"""


def task_yaml(
    name: str, modality: Modality, scales: Sequence[Scale], python: str, digest: str
) -> str:
    """A task with the sources that its track's scales need."""
    mini = _TASK_MINI.replace("PYTHON", python).replace("DIGEST", digest)
    parts = [
        _TASK_HEAD.replace("MODALITY", modality).replace("CHOICES", _metrics()),
        _TASK_TEXT if modality == "text" else "",
        "sources:\n",
        mini if Scale.MINI in scales else "",
        _TASK_FULL if Scale.FULL in scales else "",
        _TASK_TAIL,
    ]
    return "".join(parts).replace("NAME", name)


def _metrics() -> str:
    """`classification: accuracy, f1 (2 labels), ...`, and a line for each other kind of output."""
    by_output: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        needed = f" ({metric.labels} labels)" if metric.labels else ""
        for output in metric.outputs:
            by_output.setdefault(output, []).append(name + needed)
    return "\n# ".join(f"{output}: {', '.join(names)}" for output, names in by_output.items())


def track_yaml(track: str, modality: Modality, task: str, scale: Scale) -> str:
    """A track with one task, on a small backbone of its modality and scale."""
    text = _TRACK.replace("TRACK", track).replace("MODALITY", modality).replace("SCALE", scale)
    text = text.replace("BACKBONE", _BACKBONES[scale, modality]).replace("STEPS", _STEPS[scale])
    return text.replace("NAME", task)
