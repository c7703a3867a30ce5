"""Small registries that tests write for themselves, so that none depends on a real method."""

from pathlib import Path

from suite.registry import load

DIGEST = "a" * 64

METHOD_YAML = """\
schema: 1
name: NAME
title: A method
summary: Adapts something.
regime: per_task
families: [vit, bert]
unsupported:
  resnet: there are no attention blocks
  densenet: there are no attention blocks
  t5: not written yet
reference:
  title: A paper
options:
  rank:
    default: 8
    description: the rank
  placement:
    default: both
    description: where
    choices: [both, feed_forward]
recipe:
  mini:
    default:
      learning_rate: 2e-3
    bert:
      weight_decay: 0.1
cost:
  per_task:
    - count: rank * w
      each: [attention]
"""

METHOD_PYTHON = """\
from dataclasses import dataclass

import a_module_that_does_not_exist
from suite.method import Method


@dataclass(frozen=True)
class Something(Method):
    rank: int
    placement: str

    def adapt(self, backbone, tasks):
        raise NotImplementedError
"""

TRACK_YAML = """\
schema: 1
name: toy
description: Two tasks
modality: text
tasks: [first, second]
backbones:
  mini: [bert_toy]
recipe:
  mini:
    default:
      steps: 50
      learning_rate: 1e-3
    bert:
      batch_size: 16
"""

TASK_YAML = f"""\
schema: 1
name: NAME
description: Says yes or no
modality: text
output:
  type: classification
  labels: ["no", "yes"]
metrics: [accuracy]
text:
  columns: [sentence]
  template: "toy sentence: {{sentence}}"
sources:
  mini:
    python: mini.py
    function: make
    version: 1
    digest: {DIGEST}
licence: Apache-2.0
"""

BACKBONE_YAML = """\
schema: 1
name: NAME
description: A small encoder
family: bert
modality: text
scale: mini
source:
  library: transformers
  id: NAME
licence: Apache-2.0
"""


def write_registry(folder: Path) -> Path:
    """Two methods (`one`, and the joint `together`), track `toy` with two tasks, two backbones."""
    files = {
        "methods/one.yaml": METHOD_YAML.replace("NAME", "one"),
        "methods/one.py": METHOD_PYTHON,
        "methods/together.yaml": METHOD_YAML.replace("NAME", "together").replace(
            "regime: per_task", "regime: joint"
        ),
        "methods/together.py": METHOD_PYTHON,
        "tasks/toy/track.yaml": TRACK_YAML,
        "tasks/toy/first.yaml": TASK_YAML.replace("NAME", "first"),
        "tasks/toy/second.yaml": TASK_YAML.replace("NAME", "second"),
        "tasks/toy/mini.py": "def make():\n    raise NotImplementedError\n",
        "backbones/bert_toy.yaml": BACKBONE_YAML.replace("NAME", "bert_toy"),
        "backbones/t5_toy.yaml": BACKBONE_YAML.replace("NAME", "t5_toy").replace(
            "family: bert", "family: t5"
        ),
        "backbones/mini/bert_toy/model.safetensors": "weights of bert_toy",
        "backbones/mini/bert_toy/config.json": "{}",
        "backbones/mini/t5_toy/model.safetensors": "weights of t5_toy",
        "backbones/mini/t5_toy/config.json": "{}",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def replace(path: Path, old: str, new: str) -> None:
    """Edit a file of a test registry; the text to replace must be there once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new))


def problems(folder: Path) -> list[str]:
    """Every problem as `file:line:column: key: message`, with the file's name alone."""
    return [
        f"{problem.path.name}:{problem.line}:{problem.column}: {problem.key}: {problem.message}"
        for problem in load(folder).problems
    ]
