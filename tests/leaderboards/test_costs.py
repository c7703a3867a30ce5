"""What a row stores and costs, and the mean that is its score."""

from collections import defaultdict

import numpy as np
import pytest
from board import only

from suite.leaderboards import formats


def test_a_track_score_is_the_mean_over_tasks_and_seeds(registry, make):
    results = make.per_task("full", 0.9)
    row = only(results, registry).ranked[0]
    scores = [s.score for r in results for s in r.scores]
    assert row.score == pytest.approx(np.mean(scores))
    metrics = defaultdict(list)
    for found in (found for r in results for found in r.scores):
        for name, value in found.metrics.items():
            metrics[found.task, name].append(value)
    assert len(metrics) == 4
    assert row.all_metrics == pytest.approx(np.mean([np.mean(v) for v in metrics.values()]))


def test_costs_follow_the_definitions(registry, make):
    results = [
        *make.per_task("full", 0.9, own=1000),
        *make.per_task("probe", 0.6, own=0),
        *make.joint("hyper", 0.8, shared=300, own=20, trained=360),
        *make.joint("shared", 0.8, shared=1000, own=0, trained=1000),
    ]
    cost = {row.method: row.cost for row in only(results, registry).ranked}
    names = ("full", "probe", "hyper", "shared")
    assert [cost[m].total_x for m in names] == pytest.approx([3.0, 1.0, 1 + 0.3 + 3 * 0.02, 1.0])
    heads = 3 * 0.01
    assert [cost[m].stored_x for m in names] == pytest.approx(
        [3.0 + heads, heads, 0.3 + 3 * 0.02 + heads, 1.0 + heads]
    )
    assert [cost[m].per_task for m in names] == pytest.approx([1.0, 0.0, 0.1 + 0.02, 1 / 3])
    assert cost["hyper"].trained == pytest.approx(0.12)
    assert cost["full"].head == pytest.approx(0.01)
    assert cost["full"].tensor_bytes == 3 * 4 * 1010
    assert cost["full"].file_bytes == 3 * (4 * 1010 + 80)
    assert cost["hyper"].steps == cost["full"].steps == 300


def test_statistics_of_norms_are_stored_and_count(registry, make):
    results = [
        result.model_copy(
            update={"ledger": result.ledger.model_copy(update={"buffer_bits": 32 * 50})}
        )
        for result in make.per_task("probe", 0.6, own=0)
    ]
    (row,) = only(results, registry).ranked
    assert row.cost.stored_x == pytest.approx(3 * (0.05 + 0.01))
    assert row.cost.total_x == 1


@pytest.mark.parametrize(
    ("size", "written"), [(43_100, "0.0431"), (9.996e8, "1000"), (1.034e9, "1034")]
)
def test_sizes_are_written_without_powers_of_ten(size, written):
    assert formats.size(size) == written
