"""What counts as trained."""

import pytest
from golden_tasks import TEXTS, write_tasks

import suite


@pytest.fixture(scope="module")
def trained(tmp_path_factory, forked):
    """(method) -> trained parameters and the backbone's, of a joint cell over two tasks."""
    registry, out = tmp_path_factory.mktemp("registry"), tmp_path_factory.mktemp("trained")
    write_tasks(registry)
    methods = "shared_finetuning,kd_mtl,lines,linear_probe"
    words = {"registry": registry, "out": out, "jobs": 1, "quiet": True}
    found = suite.run(methods, TEXTS, "bert_mini", steps=4, **words)
    counts = {}
    for result in found:
        before = counts.get(result.cell.method, (0, 0))[0]
        counts[result.cell.method] = (
            before + result.trained_parameters,
            result.backbone_parameters,
        )
    return counts


def test_one_network_that_all_tasks_train_counts_once(trained):
    count, backbone = trained["shared_finetuning"]
    assert backbone < count < 1.05 * backbone


def test_every_network_that_is_merged_counts(trained):
    count, backbone = trained["lines"]
    assert 2 * backbone < count < 2.05 * backbone


def test_teachers_count_beside_their_student(trained):
    count, backbone = trained["kd_mtl"]
    assert 3 * backbone < count < 3.2 * backbone


def test_a_probe_trains_its_heads_alone(trained):
    count, backbone = trained["linear_probe"]
    assert 0 < count < 0.02 * backbone
