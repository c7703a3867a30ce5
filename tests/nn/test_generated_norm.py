import torch
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.backbones.sites import Site
from suite.nn.generated_norm import GeneratedNorm, NormHyperNetwork


def hypernetwork(widths, tasks=("a", "b")):
    torch.manual_seed(0)
    context = TaskContext(tasks)
    sites = [Site(f"norm{width}", "norm", "", 0, width) for width in widths]
    return NormHyperNetwork(context, sites, group=4, task_embedding=3, hidden=5, projected=6)


def test_every_group_of_channels_has_an_embedding_and_gives_its_scales_and_shifts():
    network = hypernetwork([8, 6])
    task = torch.randn(3)
    first, second = network(task)
    assert [len(part) for part in (*first, *second)] == [8, 8, 6, 6]
    for change, groups in ((first, [0, 1]), (second, [2, 3])):
        for number, group in enumerate(groups):
            embedding = torch.cat([task, network.groups.weight[group]])
            values = network.generator(network.norm(network.projector(embedding)))
            part = slice(4 * number, 4 * number + 4)
            kept = len(change.scale[part])
            torch.testing.assert_close(change.scale[part], values[:kept])
            torch.testing.assert_close(change.shift[part], values[4 : 4 + kept])


def test_a_norm_adds_what_is_generated_for_the_active_task():
    network = hypernetwork([8])
    norm = nn.BatchNorm2d(8).eval()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    changed = GeneratedNorm(norm, *network.outputs())
    x = torch.randn(2, 8, 3, 3)
    outputs = []
    for task in ("a", "b"):
        network.context.activate(task)
        network.train()
        outputs.append(changed(x))
        (change,) = network(network.tasks.by_task[task].vector)
        white = (x - norm.running_mean.view(-1, 1, 1)) / (norm.running_var + norm.eps).sqrt().view(
            -1, 1, 1
        )
        scale, shift = norm.weight + change.scale, norm.bias + change.shift
        expected = white * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        torch.testing.assert_close(outputs[-1], expected)
    assert not torch.allclose(*outputs)
