"""What a training step of HyperFormer++ costs beside one of plain adapters.

    python -m pytest tests/benchmarks/test_hypernetwork_step.py -n 0 -m benchmark -s

Both train adapters of the same size at the same sites, on the same batches, in turns, in one
process; HyperFormer++ generates them from two embeddings and a task's. So does the form of it in
which every site asks for its six tensors in turn. Ratios of the medians of processor time are
printed.
"""

import pytest
import torch
from turns import medians, stepper

from suite.backbones.load import load_backbone
from suite.contract.fixture import family_bench
from suite.data.batching import Batches
from suite.data.encode import encode_task
from suite.engine.workspace import adapt_model
from suite.method.load import load_method
from suite.nn.hypernetwork import AdapterGenerator, AdapterWeights
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale

pytestmark = pytest.mark.benchmark

ROUNDS = 40
WARMUP = 5
RECIPE = Recipe()


class InTurn(AdapterGenerator):
    """One small product for every tensor of every adapter."""

    def forward(self, embeddings):
        found = []
        weights, biases = self.weight.split(self.sizes), self.bias.split(self.sizes)
        for embedding in embeddings:
            tensors = (
                torch.nn.functional.linear(embedding, weight, bias).view(shape)
                for weight, bias, shape in zip(weights, biases, self.shapes, strict=True)
            )
            found.append(AdapterWeights(*tensors))
        return found


def way(registry, name, backbone, task, batch, turns=False):
    """A function that takes one training step."""
    entry = registry.methods[name]
    options = dict(default_options(entry, Scale.MINI))
    if name == "adapters":
        options["post_norm"] = True
    method = load_method(entry, options)
    model = adapt_model(method, backbone, [task], 0, torch.device("cpu"))
    if turns:
        for module in model.modules():
            if isinstance(module, AdapterGenerator):
                module.__class__ = InTurn
    return stepper(model, method, batch, RECIPE)


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("family", ["t5", "bert", "vit"])
def test_generated_adapters_cost_little_more_than_plain_ones(family, size, benchmark):
    torch.manual_seed(0)
    registry = load()
    entry, (task, _) = family_bench(registry, family)
    backbone = load_backbone(entry)
    encoded = encode_task(task, Scale.MINI, backbone, 128, task.sources.mini.digest)
    _, batch = next(Batches(task.name, encoded.train, entry).evaluation(size))
    ways = {
        "adapters": way(registry, "adapters", backbone, task, batch),
        "generated": way(registry, "hyperformer_pp", backbone, task, batch),
        "in turn": way(registry, "hyperformer_pp", backbone, task, batch, turns=True),
    }
    median = medians(ways, ROUNDS, WARMUP)
    ratio, turns = (median[name] / median["adapters"] for name in ("generated", "in turn"))
    print(
        f"\n{family}, batch {size}: HyperFormer++ / adapters = {ratio:.3f}; generating in turn "
        f"{turns:.3f} (adapters {1000 * median['adapters']:.2f} ms)"
    )
    benchmark.extra_info.update(generated=ratio, in_turn=turns)
    benchmark.pedantic(ways["generated"], rounds=1)
