"""Heads that train alone do so on features that the backbone computes once."""

from dataclasses import dataclass, field

import pytest
import torch
from few import few_examples

from suite.contract.fixture import BATCH, EXAMPLES, STEPS, make_bench
from suite.engine import training_data
from suite.engine.scoring import predictions
from suite.method import Method, Phase, adapted, context_of
from suite.registry import load

DRAWN = STEPS * BATCH + EXAMPLES
"""Training examples that the steps draw, and validation examples that the one evaluation reads."""


@dataclass(frozen=True)
class Heads(Method):
    """Trains heads, and what else a test wants."""

    kind: str = ""
    penalty_of_batch: object = field(default=None, repr=False)

    def adapt(self, backbone, tasks):
        model = adapted(backbone, tasks, context_of(tasks))
        if self.kind:
            backbone.unfreeze(backbone.of_kind(self.kind)[:1])
        return model

    def phases(self, model):
        return (Phase(tuple(model.tasks), penalty=self.penalty_of_batch),)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        few_examples(patch, tmp_path_factory.mktemp("cache"))
        yield load()


@pytest.fixture
def bench(registry, tmp_path):
    def bench(family, method=None, **recipe):
        made = make_bench(registry.methods["linear_probe"], registry, family, tmp_path)
        made.method = method or made.method
        made.recipe = made.recipe.model_copy(update=recipe)
        return made

    return bench


def run(bench):
    """The trained model, and how many examples went through its backbone."""
    counts = []

    def count(backbone, arguments, output):
        counts.append(len(output))

    hook = bench.backbone.register_forward_hook(count)
    try:
        return bench.train(bench.served), sum(counts)
    finally:
        hook.remove()


@pytest.mark.parametrize("family", ["resnet", "densenet", "vit", "bert"])
def test_a_head_is_the_same_with_and_without_kept_features(family, bench, monkeypatch):
    made = bench(family)
    kept, computed = run(made)
    monkeypatch.setattr(training_data, "FEATURE_BYTES", 0)
    plain, computed_without = run(made)
    assert (computed, computed_without) == (2 * EXAMPLES, DRAWN)
    for head, other in zip(kept.heads.parameters(), plain.heads.parameters(), strict=True):
        torch.testing.assert_close(head, other, rtol=1e-4, atol=1e-5)
    validation = made.data[made.served[0].name].validation
    assert (predictions(kept, validation) == predictions(plain, validation)).all()


def test_no_example_is_computed_before_it_is_drawn(bench):
    _, computed = run(bench("resnet", steps=1))
    assert computed == BATCH + EXAMPLES


@pytest.mark.parametrize(
    ("method", "recipe"),
    [
        (Heads("norm"), {}),
        (Heads(penalty_of_batch=lambda batch: batch.inputs["image"].sum() * 0), {}),
        (Heads(), {"augmentation": "flip"}),
    ],
    ids=["a layer trains", "a penalty reads the images", "images change"],
)
def test_the_backbone_runs_at_every_step_where_features_or_images_are_needed(method, recipe, bench):
    _, computed = run(bench("resnet", method, **recipe))
    assert computed == DRAWN
    _, computed = run(bench("resnet", Heads()))
    assert computed == 2 * EXAMPLES
