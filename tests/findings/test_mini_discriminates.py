"""What docs/mini.md concludes from the committed results, three seeds each.

No test of code: a method that is measured anew may end a finding, and then the page has to say so.
"""

import numpy as np
import pytest
from committed import mean_score, scores

from suite.registry import load

pytestmark = pytest.mark.findings
IMAGE_BACKBONES = ("resnet_mini", "densenet_mini", "vit_mini")
BACKBONES = (*IMAGE_BACKBONES, "bert_mini", "t5_mini")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_full_finetuning_is_well_above_the_linear_probe(backbone):
    full, probe = (scores()[backbone, name] for name in ("full_finetuning", "linear_probe"))
    assert all(len(seeds) == 3 for seeds in [*full.values(), *probe.values()])
    assert mean_score(backbone, "full_finetuning") >= mean_score(backbone, "linear_probe") + 8


@pytest.mark.parametrize("backbone", BACKBONES)
def test_no_task_is_at_chance_or_solved_by_the_probe(backbone):
    registry = load()
    track = "visual-domains" if backbone in IMAGE_BACKBONES else "glue"
    for name, seeds in scores()[backbone, "full_finetuning"].items():
        task = registry.tasks[f"{track}/{name}"]
        correlation = {"matthews", "pearson"} & set(task.metrics)
        chance = 0 if correlation else 100 / len(task.output.labels)
        assert np.mean(seeds) > chance + 8, name
        assert np.mean(scores()[backbone, "linear_probe"][name]) <= 98, name


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", ["adapters", "taps"])
def test_parameter_efficient_methods_are_above_the_linear_probe(backbone, method):
    assert mean_score(backbone, method) > mean_score(backbone, "linear_probe")
