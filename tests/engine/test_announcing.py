"""Generated examples whose answers mean nothing stop their own cells before anything is trained."""

import pytest
import torch
from toy import TASKS, write_method, write_tasks

from suite.engine.announcing import AnnouncingWorkspace
from suite.errors import UserError
from suite.planning.plan import Request, plan
from suite.registry import load

WRONG = {
    "beyond": ("label = np.arange(count) % 2", "label = np.arange(count) % 3", "answer 2 is"),
    "one answer": ("label = np.arange(count) % 2", "label = np.ones(count, int)", "has one answer"),
    "nothing": ("(96, 48, 48)", "(96, 48, 0)", "test split has no examples"),
}  # fmt: skip


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads the task `reds` as a worker does, its generator changed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def read(old="", new=""):
        monkeypatch.setattr("toy.TASKS", TASKS.replace(old, new))
        write_tasks(tmp_path)
        write_method(tmp_path, "norms")
        registry = load(tmp_path)
        cell = plan(Request(methods=("norms",), tasks=("reds",)), registry).planned[0].cell
        workspace = AnnouncingWorkspace(registry, torch.device("cpu"), 1, say=lambda what: None)
        return workspace.tasks(cell)[0]

    return read


@pytest.mark.parametrize("case", WRONG)
def test_answers_that_mean_nothing_are_named_with_their_split(read, case):
    old, new, said = WRONG[case]
    with pytest.raises(UserError, match=f"reds.yaml: the .*{said}"):
        read(old, new)


def test_answers_that_the_task_allows_are_read(read):
    assert len(read().test) == 48
