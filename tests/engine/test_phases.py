"""What a method may do around and within its phases of training."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from tiny import tiny_backbone, tiny_tasks

from suite.data.batching import Batches
from suite.data.encode import Examples
from suite.engine.loop import train
from suite.engine.training_data import TaskBatches
from suite.errors import Unsupported
from suite.method import Method, Phase, adapted, context_of
from suite.registry.schema import Recipe

RECIPE = Recipe(steps=20, batch_size=8, evaluations=2, learning_rate=0.05, schedule="constant")


@dataclass(frozen=True)
class HeadOnly(Method):
    """Trains heads in the phases it is given."""

    make: object = field(repr=False)

    def adapt(self, backbone, tasks):
        return adapted(backbone, tasks, context_of(tasks))

    def phases(self, model):
        return self.make(model)


def data(task):
    generator = torch.Generator().manual_seed(ord(task))
    targets = torch.arange(24) % 3
    image = torch.randint(0, 128, (24, 3, 16, 16), generator=generator, dtype=torch.uint8)
    image[torch.arange(24), targets] += 100
    examples = Examples({"image": image}, targets, None, np.ones(24, int))
    batches = Batches(task, examples, tiny_backbone("resnet").entry)
    return TaskBatches(batches, batches)


def run(make, **changes):
    method = HeadOnly(make)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone("resnet"), tiny_tasks("resnet", 2))
    tasks = {task: data(task) for task in model.tasks}
    recipe = RECIPE.model_copy(update=changes)
    training = train(model, method, tasks, recipe, seed=0, progress=lambda step, steps: None)
    return model, training


def test_finish_sees_the_kept_state_and_what_it_leaves_is_what_is_scored():
    seen = []

    def phases(model):
        def break_b(validate):
            seen.append(dict(validate()))
            head = model.heads.by_task["b"]
            with torch.no_grad():
                head.weight.zero_()
                head.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
            seen.append(dict(validate()))

        return (Phase(("a",), 0.5), Phase(("b",), 0.5, finish=break_b))

    _, training = run(phases)
    before, after = seen
    assert set(before) == {"a", "b"}
    assert before["b"] > after["b"]
    assert np.isclose(after["b"], 100 / 3)
    assert training.validation == after


def test_the_penalty_of_a_phase_sees_the_batch_and_is_part_of_the_loss():
    tasks = []

    def phases(model):
        def pull(batch):
            tasks.append(batch.task)
            return 1e3 * model.heads.by_task[batch.task].weight.square().sum()

        return (Phase(("a",), 0.5), Phase(("b",), 0.5, penalty=pull))

    model, _ = run(phases)
    assert tasks == ["b"] * 20
    sizes = {task: head.weight.detach().norm() for task, head in model.heads.by_task.items()}
    assert sizes["b"] < sizes["a"]


def test_mixed_batches_train_all_tasks_of_a_phase():
    apart, _ = run(lambda model: (Phase(("a", "b")),))
    together, mixed = run(lambda model: (Phase(("a", "b")),), mixed_batches=True)
    heads = [model.heads.by_task["a"].weight for model in (apart, together)]
    assert not torch.allclose(*heads, rtol=0.01, atol=0.01)
    assert all(score > 60 for score in mixed.validation.values())


def test_a_phase_of_one_task_has_nothing_to_mix():
    phases = (Phase(("a",), 0.5), Phase(("b",), 0.5))
    assert run(lambda model: phases)[1].validation == (
        run(lambda model: phases, mixed_batches=True)[1].validation
    )


def test_a_loss_that_looks_at_batches_of_one_task_refuses_mixed_ones():
    with pytest.raises(Unsupported, match="mixed_batches"):
        run(lambda model: (Phase(("a", "b"), penalty=lambda batch: 0.0),), mixed_batches=True)
