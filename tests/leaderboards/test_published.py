from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from suite.registry.schema import PublishedRow

FILES = sorted((Path(__file__).parents[2] / "tasks").glob("*/published.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_published_score_is_the_mean_of_its_task_scores(path):
    rows = TypeAdapter(list[PublishedRow]).validate_python(yaml.safe_load(path.read_text()))
    tasks = {task for row in rows for task in row.scores}
    complete = [row for row in rows if len(row.scores) == len(tasks)]
    assert complete
    for row in complete:
        mean = sum(row.scores.values()) / len(tasks)
        assert row.score == pytest.approx(mean, abs=0.06), row.label
