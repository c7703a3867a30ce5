"""Frozen weights kept in bfloat16 train to the bits that autocast's own rounding gives."""

import pytest
import torch
from tiny import tiny_backbone, tiny_data, tiny_tasks
from torch import nn

from suite.engine.delta import changed_tensors
from suite.engine.frozen import UNTOUCHED, frozen_in_bfloat16
from suite.engine.loop import train
from suite.engine.workspace import adapt_model
from suite.method.load import load_method
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale

CPU = torch.device("cpu")
REGISTRY = load()
RECIPE = Recipe(steps=4, batch_size=8, evaluations=1, learning_rate=1e-2, precision="bfloat16")


def made(name, family):
    entry = REGISTRY.methods[name]
    method = load_method(entry, default_options(entry, Scale.MINI))
    tasks = tiny_tasks(family, 1 if entry.regime == "per_task" else 2)
    model = adapt_model(method, tiny_backbone(family), tasks, 0, CPU)
    model.precision = RECIPE.precision
    return method, model, {task.name: tiny_data(family, task.name) for task in tasks}


def trained(model, method, data):
    return train(model, method, data, RECIPE, 0, lambda *_: None).validation


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("lora", "vit"),
        ("bitfit", "resnet"),
        ("adapters", "bert"),
        ("hyperformer", "t5"),
        pytest.param("parallel_adapters", "t5", marks=pytest.mark.nightly),
        pytest.param("prefix_tuning", "bert", marks=pytest.mark.nightly),
        pytest.param("ssf", "densenet", marks=pytest.mark.nightly),
        pytest.param("vpt_deep", "vit", marks=pytest.mark.nightly),
    ],
)
def test_the_training_is_that_of_autocast(name, family):
    method, expected, data = made(name, family)
    scores = trained(expected, method, data)
    method, model, data = made(name, family)
    pristine = tiny_backbone(family)
    frozen = [m for m in model.modules() if type(m) in (nn.Linear, nn.Conv2d)]
    frozen = [m for m in frozen if not m.weight.requires_grad]
    with frozen_in_bfloat16(model, method, pristine, data, CPU) as notes:
        kept = [m.weight for m in frozen if m.weight.dtype == torch.bfloat16]
        # All but those that another layer shares, such as T5's output layer.
        assert len(kept) >= len(frozen) - 1 > 1
        count = int(notes[0].removesuffix(" frozen weights in bfloat16"))
        assert count >= sum(weight.numel() for weight in kept)
        assert trained(model, method, data) == scores
    theirs = dict((*expected.named_parameters(), *expected.named_buffers()))
    for own, tensor in (*model.named_parameters(), *model.named_buffers()):
        assert torch.equal(tensor, theirs[own]), own
    assert not changed_tensors(model, pristine, method)


@pytest.mark.parametrize(
    ("name", "family", "reason"),
    [
        ("dora", "vit", "the method reads them"),
        ("adapter_fusion", "bert", "the method has phases of its own"),
    ],
)
def test_weights_that_a_method_may_read_stay_as_they_are(name, family, reason):
    method, model, data = made(name, family)
    pristine = tiny_backbone(family)
    with frozen_in_bfloat16(model, method, pristine, data, CPU) as notes:
        assert notes == (f"{UNTOUCHED}: {reason}",)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not changed_tensors(model, pristine, method)


@pytest.mark.parametrize(("name", "precision"), [("full_finetuning", "bfloat16"), ("lora", "auto")])
def test_nothing_is_said_where_nothing_is_frozen_or_rounded(name, precision):
    method, model, data = made(name, "vit")
    model.precision = precision
    with frozen_in_bfloat16(model, method, tiny_backbone("vit"), data, CPU) as notes:
        assert notes == ()


def test_a_failed_training_leaves_the_weights_as_they_were():
    method, model, data = made("lora", "vit")
    pristine = tiny_backbone("vit")
    with (
        pytest.raises(KeyboardInterrupt),
        frozen_in_bfloat16(model, method, pristine, data, CPU),
    ):
        raise KeyboardInterrupt
    assert not changed_tensors(model, pristine, method)
