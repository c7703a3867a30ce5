import pytest
import torch
from torch import nn

from suite.backbones.per_task import PerTask, TaskContext, parameters_of


def make():
    context = TaskContext(["a", "b"])
    return context, PerTask.copies(context, nn.BatchNorm2d(3))


def test_an_unknown_task_is_named():
    context, _ = make()
    with pytest.raises(KeyError, match="unknown task 'c'; this model serves a, b"):
        context.activate("c")


def test_only_the_active_copy_sees_the_batch():
    context, norm = make()
    context.activate("b")
    norm(torch.randn(4, 3, 2, 2) + 5)
    assert not norm.by_task["a"].running_mean.any()
    assert norm.by_task["b"].running_mean.all()


def test_tied_copies_are_one_until_they_are_separated():
    context, norm = make()
    norm.tie()
    x = torch.randn(4, 3, 2, 2) + 5
    for task in ("a", "b"):
        context.activate(task)
        norm(x)
    norm.separate()
    statistics = [norm.by_task[task].running_mean for task in ("a", "b")]
    assert torch.equal(*statistics)
    assert int(norm.by_task["b"].num_batches_tracked) == 2
    norm(x)
    assert not torch.equal(*statistics)


def test_parameters_of_a_task():
    context = TaskContext(["a", "b"])
    model = nn.ModuleDict(
        {
            "shared": nn.Linear(2, 2),
            "norm": PerTask.copies(context, nn.LayerNorm(2)),
            "head": PerTask.copies(context, nn.Linear(2, 3), head=True),
        }
    )
    sizes = [p.numel() for p in parameters_of(model, "a")]
    assert sizes == [2, 2, 6, 3]
    assert [p.numel() for p in parameters_of(model, "a", head=False)] == [2, 2]
    assert parameters_of(model, "a").isdisjoint(parameters_of(model, "b"))
