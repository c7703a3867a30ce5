"""Examples that stay on the host give the batches of those on the device."""

from itertools import islice

import numpy as np
import pytest
import torch
from test_batching import images, texts
from tiny import tiny_backbone, tiny_tasks

from suite.data import transfer
from suite.data.batching import Batches, FeatureBatches, mixed_batches
from suite.data.encode import EncodedTask
from suite.registry.schema import Recipe

CPU = torch.device("cpu")
KINDS = {"bert": texts, "vit": images}


def tensors(batch):
    return [*batch.inputs.values(), batch.targets]


def both(family):
    """Batches of examples on the device, and of such as are not."""
    examples = KINDS[family](40)
    entry = tiny_backbone(family).entry
    here, there = Batches("a", examples, entry), Batches("a", examples, entry)
    there.resident = False
    return here, there


@pytest.mark.parametrize("family", KINDS)
def test_batches_from_the_host_are_those_from_the_device(family, monkeypatch):
    here, there = both(family)
    copied = []
    monkeypatch.setattr(
        "suite.data.batching.to_device", lambda values, device: copied.append(values) or values
    )
    recipe = Recipe(batch_size=8)
    for mine, its in zip(
        islice(there.training(recipe, 0), 9), islice(here.training(recipe, 0), 9), strict=True
    ):
        for one, other in zip(tensors(mine), tensors(its), strict=True):
            assert torch.equal(one, other)
    # The inputs and targets of nine batches were copied, and no more of any tensor than a batch.
    rows = [values for values in copied if values.dtype != torch.int64 or values.dim() > 1]
    assert len(rows) >= 9
    assert max(len(values) for values in rows) == 8
    for (left, mine), (right, its) in zip(there.evaluation(16), here.evaluation(16), strict=True):
        assert np.array_equal(left, right)
        assert all(torch.equal(a, b) for a, b in zip(tensors(mine), tensors(its), strict=True))


def test_features_of_examples_on_the_host_are_found_again():
    here, there = both("vit")

    def compute(batch):
        return batch.inputs["image"].mean((2, 3))

    made = [FeatureBatches(batches, 3, compute) for batches in (here, there)]
    made[1].resident = False
    for _ in range(2):
        (_, mine), (_, its) = (next(batches.evaluation(64)) for batches in made)
        assert torch.equal(mine.inputs["features"], its.inputs["features"])


def test_mixed_batches_may_come_from_host_and_device():
    here, there = both("bert")
    recipe = Recipe(batch_size=12)
    pairs = [
        mixed_batches({"a": a, "b": b}, [0.5, 0.5], recipe, 0)
        for a, b in ((here, here), (here, there))
    ]
    for mine, its in islice(zip(*pairs, strict=True), 5):
        for one, other in zip(mine, its, strict=True):
            assert torch.equal(one.inputs["input_ids"], other.inputs["input_ids"])


def test_a_batch_is_made_while_the_one_before_it_is_computed_with():
    made = []

    def batches():
        for number in range(100):
            made.append(number)
            yield number

    ahead = transfer.ahead(batches(), CPU)
    for number in range(5):
        assert next(ahead) == number
        assert made[-1] == number + 1


def test_a_task_stays_on_the_host_if_it_would_fill_half_of_the_gpu(monkeypatch):
    (task,) = tiny_tasks("vit", 1)
    split = images(40)
    encoded = EncodedTask(task, split, split.take(torch.arange(8)), split.take(torch.arange(4)))
    taken = 52 * (split.inputs["image"][0].nbytes + split.targets[0].nbytes)
    assert transfer.size(encoded) == taken
    free = 2 * taken
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
    assert transfer.fits(encoded, torch.device("cuda"))
    free -= 1
    assert not transfer.fits(encoded, torch.device("cuda"))
    assert transfer.fits(encoded, CPU)


def test_texts_for_a_gpu_are_padded_to_few_lengths():
    entry = tiny_backbone("bert").entry
    examples = texts(200, width=30)
    plain, padded = Batches("a", examples, entry), Batches("a", examples, entry)
    padded.multiple = 8
    recipe = Recipe(batch_size=8)
    shapes = set()
    for mine, its in islice(
        zip(padded.training(recipe, 0), plain.training(recipe, 0), strict=True), 20
    ):
        length = its.inputs["input_ids"].shape[1]
        own = mine.inputs["input_ids"]
        shapes.add(own.shape[1])
        assert torch.equal(own[:, :length], its.inputs["input_ids"])
        assert not mine.inputs["attention_mask"][:, length:].any()
    assert shapes <= {8, 16, 24, 30}
