"""What a training step of a method costs beside the cheapest correct way to do the same.

    python -m pytest tests/benchmarks/test_method_step.py -n 0 -m benchmark -s

The same network takes steps on one batch in both ways, in turns, in one process and on one thread.
For methods that train or mask weights of the network the other way is full fine-tuning; for methods
that insert or change layers it is the paper's equation in plain modules of torch, put in by forward
hooks, and for PiSSA the LoRA of `peft`. Ratios of the medians of processor time are printed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import medians, stepper

from suite.contract.fixture import family_bench
from suite.data.batching import Batches
from suite.data.encode import encode_task
from suite.engine.workspace import Workspace, adapt_model
from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of
from suite.method.load import load_method
from suite.nn.adapter import bottleneck_width
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale

pytestmark = pytest.mark.benchmark

LIMIT = 1.10
ROUNDS = 60
WARMUP = 8
SIZE = 32
RECIPE = Recipe()
REGISTRY = load()

IMAGES, TEXTS = ("resnet", "densenet", "vit"), ("bert", "t5")
FULL = ("piggyback", "top_k", "bottom_k", "norm_tuning", "attention_only", "bitfit", "taps")
"""Compared with full fine-tuning: they compute what it computes, with fewer gradients or a mask."""


class Bottleneck(nn.Module):
    """y + U gelu(D y)."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)

    def forward(self, y: Tensor) -> Tensor:
        """The output of a sublayer [..., width], changed."""
        return y + self.up(F.gelu(self.down(y)))


class ScaleShift(nn.Module):
    """a y + b, of channels or of tokens."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.shape = (-1, 1, 1) if dim == 1 else (-1,)

    def forward(self, y: Tensor) -> Tensor:
        """The output of a layer, changed."""
        return torch.addcmul(self.b.view(self.shape), y, self.a.view(self.shape))


def hooked(backbone: Backbone, module: nn.Module, site: str) -> None:
    """Let a module change what comes out of a site."""

    def change(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> object:
        if isinstance(output, tuple):
            return module(output[0]), *output[1:]
        return module(output)

    owner = backbone.network.get_submodule(site)
    owner.register_forward_hook(change)
    owner.add_module("written", module)


def with_bottlenecks(backbone: Backbone, kinds: tuple[str, ...], options: dict) -> None:
    """Adapters as the paper draws them, and the norms, which they train."""
    backbone.unfreeze(backbone.of_kind("norm"))
    for site in backbone.of_kind(*kinds):
        width = bottleneck_width(site.width, options["reduction"])
        hooked(backbone, Bottleneck(site.width, width), site.name)


def with_scales(backbone: Backbone, options: dict) -> None:
    """SSF behind every layer."""
    for site in backbone.of_kind("conv", "linear", "norm", "patch_embedding"):
        layer = backbone.module(site)
        convolves = isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
        hooked(backbone, ScaleShift(site.width, 1 if convolves else -1), site.name)


@dataclass(frozen=True)
class Written(Method):
    """A method's equation in plain modules."""

    change: Callable[[Backbone, dict], None]
    options: dict

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Put the modules in."""
        self.change(backbone, self.options)
        return adapted(backbone, tasks, context_of(tasks))


WRITTEN: dict[str, Callable[[Backbone, dict], None]] = {
    "adapters": lambda b, options: with_bottlenecks(b, ("attention", "feed_forward"), options),
    "pfeiffer_adapters": lambda b, options: with_bottlenecks(b, ("feed_forward",), options),
    "ssf": with_scales,
}
"""Compared with the equation in plain modules."""
CASES = [
    *((method, family) for method in FULL for family in (*IMAGES, *TEXTS)),
    *((method, family) for method in WRITTEN for family in ("vit", *TEXTS)),
    ("ssf", "resnet"),
    ("pissa", "bert"),
    ("pissa", "t5"),
    ("pissa", "vit"),
]


@pytest.mark.parametrize(("name", "family"), CASES)
def test_a_step_costs_at_most_a_tenth_more_than_the_cheapest_way(name, family, benchmark):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    entry = REGISTRY.methods[name]
    if family in entry.unsupported:
        pytest.skip(f"{name} is not defined on {family}")
    backbone_entry, (task, _) = family_bench(REGISTRY, family)
    backbone = Workspace(REGISTRY, torch.device("cpu"), 1).backbone(backbone_entry.name)
    encoded = encode_task(task, Scale.MINI, backbone, 128, task.sources.mini.digest)
    _, batch = next(Batches(task.name, encoded.train, backbone_entry).evaluation(SIZE))

    def registered(method_name):
        found = REGISTRY.methods[method_name]
        return load_method(found, default_options(found, Scale.MINI))

    if name in WRITTEN:
        other = "by hand"
        reference = Written(WRITTEN[name], default_options(entry, Scale.MINI))
    else:
        other = "lora" if name == "pissa" else "full_finetuning"
        reference = registered(other)
    ways = {
        way: stepper(
            adapt_model(method, backbone, [task], 0, torch.device("cpu")), method, batch, RECIPE
        )
        for way, method in ((name, registered(name)), (other, reference))
    }
    median = medians(ways, ROUNDS, WARMUP)
    ratio = median[name] / median[other]
    print(f"\n{family}: {name} / {other} = {ratio:.3f} ({1000 * median[other]:.2f} ms)")
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(ways[name], rounds=1)
    assert ratio <= LIMIT
