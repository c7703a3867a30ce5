"""Adapted networks survive text generation and compilation."""

import pytest
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks, train_briefly

from suite.method.load import load_method


def build(name, family):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry))
    torch.manual_seed(0)
    model = method.adapt(
        tiny_backbone(family), tiny_tasks(family, 2 if entry.regime == "joint" else 1)
    )
    train_briefly(model, method, family, steps=3)
    return model


@pytest.mark.parametrize("name", [name for name in ENTRIES if "t5" in ENTRIES[name].families])
def test_t5_generates_what_teacher_forcing_predicts(name):
    """The cached decoder steps of `generate` pass through the same adapted layers."""
    model = build(name, "t5")
    for task in model.tasks:
        batch = tiny_batch("t5", task)
        model.context.activate(task)
        ids = model.backbone.generate(batch.inputs, length=3)[:, 1:]
        with torch.no_grad():
            logits = model(batch.inputs, ids)
        generated = torch.where((ids == 1).cumsum(1) - (ids == 1).int() == 0, ids, -1)
        for row, predicted in zip(generated, logits.argmax(-1), strict=True):
            kept = row >= 0
            assert torch.equal(row[kept], predicted[kept])


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param("hyperformer_pp", "bert", marks=pytest.mark.nightly),
        ("taps", "resnet"),
        pytest.param("adapters", "vit", marks=pytest.mark.nightly),
        pytest.param("parallel_adapters", "bert", marks=pytest.mark.nightly),
    ],
)
def test_compiled_training_and_evaluation_equal_eager(name, family):
    model = build(name, family)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # Compiled code draws other random numbers.
    inputs = tiny_batch(family, next(iter(model.tasks))).inputs
    compiled = torch.compile(model, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(inputs), model(inputs))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = [
        torch.autograd.grad(form(inputs).square().sum(), parameters, allow_unused=True)
        for form in (model, compiled)
    ]
    for eager, actual in zip(*gradients, strict=True):
        assert (eager is None) == (actual is None)
        if eager is not None:
            torch.testing.assert_close(actual, eager)
