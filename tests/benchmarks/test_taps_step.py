"""What a training step of TAPS costs beside one of full fine-tuning.

    python -m pytest tests/benchmarks/test_taps_step.py -n 0 -m benchmark -s

Three ways to train one network on the same batches take steps in turns, in one process: full
fine-tuning, TAPS as written from its equation (every layer adds 1[s >= threshold] * delta to its
frozen weights in every forward pass, and torch differentiates that), and TAPS through the arena.
Ratios of the medians are printed: of processor time on one thread, which other programs disturb
less than the clock, and of the clock's time on two.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch

from suite.backbones.base import VisionBackbone
from suite.backbones.load import load_backbone
from suite.contract.fixture import family_bench
from suite.data.batching import Batch
from suite.engine.optimizer import Optimizer, make_optimizer
from suite.engine.workspace import adapt_model
from suite.method import ParameterSet
from suite.method.load import load_method
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import BackboneEntry, Recipe, Scale

sys.path.insert(0, str(Path(__file__).with_name("gpu")))
from equation import WrittenChange, mean_score, write_out

pytestmark = pytest.mark.benchmark

PENALTY = 0.3
ROUNDS = 60
WARMUP = 8
LIMIT = 1.10
CLOCKS = {1: time.process_time, 2: time.perf_counter}
"""By threads."""

RECIPES = {
    "adamw": Recipe(),
    "sgd": Recipe(optimizer="sgd", learning_rate=0.01, clip_norm=None),
}


@dataclass
class Runner:
    """One way to train, a step at a time."""

    model: torch.nn.Module
    written: list[WrittenChange]
    optimizer: Optimizer

    def step(self, batch: Batch, clock: Callable[[], float]) -> float:
        """Seconds of one step."""
        started = clock()
        loss = self.model.loss(batch)
        if self.written:
            loss = loss + PENALTY * mean_score(self.written)
        loss.backward()
        self.optimizer.step(1.0, 0.5)
        return clock() - started


def resnet18():
    entry = BackboneEntry(
        schema=1,
        name="resnet18",
        description="Random weights: only its speed is of interest.",
        family="resnet",
        modality="image",
        scale="mini",
        source={"library": "timm", "id": "resnet18"},
        image_size=64,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        licence="Apache-2.0",
    )
    network = timm.create_model("resnet18", num_classes=0)
    return VisionBackbone(entry, network, network.num_features)


def runners(registry, backbone, task, recipe):
    device = torch.device("cpu")
    found = {}
    for name, variant in (
        ("full_finetuning", "full"),
        ("taps", "equation"),
        ("taps", "arena"),
    ):
        entry = registry.methods[name]
        method = load_method(entry, default_options(entry, Scale.MINI))
        model = adapt_model(method, backbone, [task], 0, device).train()
        # Once written out there are no gates that an arena could train.
        written = write_out(model) if variant == "equation" else []
        parameters = ParameterSet(p for p in model.parameters() if p.requires_grad)
        optimizer = make_optimizer(method, model, parameters, recipe)
        assert (optimizer.stepper is not None) == (variant == "arena")
        found[variant] = Runner(model, written, optimizer)
    return found


CASES = [
    *((family, batch) for family in ("resnet", "densenet", "vit") for batch in (4, 16, 32)),
    ("timm resnet18", 4),
    ("timm resnet18", 16),
]


@pytest.mark.parametrize("threads", CLOCKS)
@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize(("family", "size"), CASES)
def test_a_step_costs_little_more_than_one_of_full_finetuning(
    family, size, optimizer, threads, benchmark
):
    torch.set_num_threads(threads)
    clock = CLOCKS[threads]
    torch.manual_seed(0)
    registry = load()
    timm_model = family.startswith("timm")
    entry, (task, _) = family_bench(registry, "resnet" if timm_model else family)
    backbone = resnet18() if timm_model else load_backbone(entry)
    ways = runners(registry, backbone, task, RECIPES[optimizer])
    image = backbone.entry.image_size
    classes = len(task.output.labels)
    times = {name: [] for name in ways}
    rounds = ROUNDS if not timm_model else ROUNDS // 3
    for turn in range(WARMUP + rounds):
        images = torch.randn(size, 3, image, image)
        batch = Batch(task.name, {"image": images}, torch.randint(classes, (size,)), None)
        order = list(ways.items())
        # Alternate who goes first: caches favour neither.
        for name, way in order if turn % 2 else order[::-1]:
            seconds = way.step(batch, clock)
            if turn >= WARMUP:
                times[name].append(seconds)
    median = {name: statistics.median(values) for name, values in times.items()}
    equation, arena = median["equation"] / median["full"], median["arena"] / median["full"]
    print(
        f"\n{family}, batch {size}, {optimizer}, {threads} threads: TAPS / full fine-tuning = "
        f"{arena:.3f}; as written from the equation {equation:.3f} (full fine-tuning "
        f"{1000 * median['full']:.2f} ms)"
    )
    benchmark.extra_info.update(arena=arena, equation=equation)
    benchmark.pedantic(ways["arena"].step, (batch, clock), rounds=1)
    assert arena <= LIMIT
