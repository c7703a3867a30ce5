"""What docs/mini.md concludes from the committed results, three seeds each.

No test of code: a method that is measured anew may end a finding, and then the page has to say so.
"""

import numpy as np
import pytest
from committed import mean_score, results, scores

from suite.planning.plan import Request, plan
from suite.registry import load
from suite.results.scores import evaluate, score

pytestmark = pytest.mark.findings
IMAGE_BACKBONES = ("resnet_mini", "densenet_mini", "vit_mini")
BACKBONES = (*IMAGE_BACKBONES, "bert_mini", "t5_mini")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_full_finetuning_is_well_above_the_linear_probe(backbone):
    full, probe = (scores()[backbone, name] for name in ("full_finetuning", "linear_probe"))
    assert all(len(seeds) == 3 for seeds in [*full.values(), *probe.values()])
    assert mean_score(backbone, "full_finetuning") >= mean_score(backbone, "linear_probe") + 8


@pytest.mark.parametrize("backbone", BACKBONES)
def test_no_task_is_at_its_constant_answer_or_solved_by_the_probe(backbone):
    registry = load()
    track = "visual-domains" if backbone in IMAGE_BACKBONES else "glue"
    planned = plan(Request(("full_finetuning",), (track,), (backbone,)), registry).planned
    present = {
        task: digest for item in planned for task, digest in item.cell.identity.examples.items()
    }
    for result in results(backbone, "full_finetuning"):
        if any(present[task] != digest for task, digest in result.identity.examples.items()):
            pytest.skip("measured on an older version of the data")
        for own in result.scores:
            constant = constant_answer(registry.tasks[f"{track}/{own.task}"], own.targets)
            mean = np.mean(scores()[backbone, "full_finetuning"][own.task])
            assert mean > constant + 8, own.task
    for name, seeds in scores()[backbone, "linear_probe"].items():
        assert np.mean(seeds) <= 98, name


def constant_answer(task, targets):
    """The best score that one answer to every example reaches; no correlation has one above 0."""
    if task.output.type == "regression":
        return 0.0
    answers = [np.full(len(targets), answer) for answer in set(targets)]
    return max(score(evaluate(task, answer, np.array(targets))) for answer in answers)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", ["adapters", "taps"])
def test_parameter_efficient_methods_are_above_the_linear_probe(backbone, method):
    assert mean_score(backbone, method) > mean_score(backbone, "linear_probe")
