"""Single kernels: the device's ceilings, the arena, adapters, hypernetworks."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from measure import Failed, Row, captured, cold, launches, row
from torch import Tensor, nn
from trainers import RATES, RULE

from suite.backbones.per_task import TaskContext
from suite.nn.hypernetwork import SharedHyperNetworks
from suite.nn.kernels.adapter import AdapterWeights, adapter, reference
from suite.nn.kernels.arena import Arena

ROUNDS = 3
WIDTH, BOTTLENECK = 768, 24


def ceilings() -> Iterator[Row]:
    """Copy bandwidth of 4 GiB and the rate of one large bf16 product, on random data."""
    source = torch.randn(2**30, device="cuda")
    target = torch.empty_like(source)
    times = cold({"copy": lambda: target.copy_(source)}, ROUNDS)["copy"]
    rates = [2 * 4 * source.numel() / time / 1e9 for time in times]
    yield row("ceiling", "copy of 4 GiB", "", "bandwidth", rates, "TB/s")
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = cold({"product": lambda: a @ b}, ROUNDS)["product"]
    rates = [2 * 8192**3 / time / 1e9 for time in times]
    yield row("ceiling", "product 8192^3 bf16", "", "rate", rates, "TFLOP/s")


def arena(sizes: tuple[int, ...] = (7, 21, 85, 198)) -> Iterator[Row]:
    """Bandwidth of the arena's step and merge over n million weights in 50 layers; the gradients
    are bf16, nothing is clipped, no gate moves."""
    from suite.nn.kernels.arena_device import TritonKernels

    for millions in sizes:
        shape = (millions * 20_000 // 1000, 1000)
        weights = [torch.randn(shape, device="cuda") / 30 for _ in range(50)]
        scores = torch.full((50,), 0.2, device="cuda")
        own = Arena(weights, [w * 0.01 for w in weights], scores, RULE, working=torch.bfloat16)
        for leaf in own.leaves:
            leaf.grad = torch.randn_like(leaf)
        kernels = TritonKernels(own)
        kernels.prepare(RATES)
        count = sum(weight.numel() for weight in weights)
        # W0, delta and moments are fp32; gradients and merged weights bf16.
        traffic = {"step": 4 + 2 + 3 * 8 + 2, "merge": 4 + 4 + 2}
        steps = {"step": lambda k=kernels: k.launch(None), "merge": kernels.merge}
        for name, times in cold(steps, ROUNDS).items():
            rates = [traffic[name] * count / time / 1e9 for time in times]
            yield row("arena", f"{millions} M", name, "bandwidth", rates, "TB/s")
        yield row("arena", f"{millions} M", "step", "kernels", [launches(steps["step"])[0]], "")


class Adapter(nn.Module):
    """Weights of one adapter at T5-base's size, its own in fp32 or generated in bf16."""

    def __init__(self, generated: bool) -> None:
        super().__init__()
        shapes = [(WIDTH, BOTTLENECK), (WIDTH,), (BOTTLENECK, WIDTH), (BOTTLENECK,)]
        dtype = torch.bfloat16 if generated else torch.float32
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(shape, device="cuda", dtype=dtype) / 10)
            for shape in [*shapes, (WIDTH,), (WIDTH,)]
        )


def adapters(rows: tuple[int, ...] = (1024, 4096, 16384, 65536)) -> Iterator[Row | Failed]:
    """Forward and backward of one adapter with a norm behind it, under autocast."""
    for generated in (False, True):
        weights = AdapterWeights(*Adapter(generated).weights)
        for count in rows:
            x = torch.randn(count, WIDTH, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            grad = torch.randn_like(x)

            def run(function, x=x, grad=grad, weights=weights):
                with torch.autocast("cuda", torch.bfloat16):
                    out = function(x, weights, "post")
                inputs = (x, *(w for w in weights if w is not None))
                return torch.autograd.grad(out, inputs, grad.to(out.dtype))

            forms = {
                "eager": reference,
                "compiled": torch.compile(reference, dynamic=False),
                "fused": adapter,
            }
            steps = {name: (lambda f=form, run=run: run(f)) for name, form in forms.items()}
            case = f"{'generated' if generated else 'own'} weights, {count} rows"
            yield from _compare("adapter", case, steps)


def _compare(section: str, case: str, steps: dict) -> Iterator[Row | Failed]:
    """Device time with a cold cache, time of a graph's replay, and kernels, of every variant."""
    graphs = {}
    for name, step in list(steps.items()):
        try:
            for _ in range(3):
                step()
            count, busy = launches(step)
            yield row(section, case, name, "kernels", [count], "")
            yield row(section, case, name, "device busy", [busy], "ms")
            graphs[name] = captured(step)
        except Exception as error:
            del steps[name]
            yield Failed(section, case, name, f"{type(error).__name__}: {error}"[:300])
    for name, times in cold(steps, ROUNDS).items():
        yield row(section, case, name, "time", times, "ms")
    for name, times in cold(graphs, ROUNDS).items():
        yield row(section, case, f"{name}, graph", "time", times, "ms")


class PerSite(nn.Module):
    """HyperFormer++ as published: every adapter asks six generators for its tensors in turn."""

    def __init__(self, network: SharedHyperNetworks) -> None:
        super().__init__()
        object.__setattr__(self, "network", network)

    def forward(self, task: Tensor) -> list[tuple[Tensor, ...]]:
        """Task embedding -> the tensors of all sites."""
        # Once, as if they were layers of their own.
        generators = {
            name: (
                stack.generator.weight.split(stack.generator.sizes),
                stack.generator.bias.split(stack.generator.sizes),
            )
            for name, stack in self.network.stacks.items()
        }
        found = []
        for site in self.network.sites:
            stack = self.network.stacks[site.stack]
            position = stack.positions.weight[0 if site.kind == "feed_forward" else 1]
            joined = torch.cat([task, stack.layers.weight[site.layer], position])
            embedding = stack.norm(stack.projector(joined))
            parts = zip(*generators[site.stack], strict=True)
            found.append(tuple(F.linear(embedding, weight, bias) for weight, bias in parts))
        return found


class Site:
    """A sublayer of T5-base."""

    def __init__(self, stack: str, layer: int, kind: str) -> None:
        self.stack, self.layer, self.kind, self.width = stack, layer, kind, WIDTH


def hypernetwork(device: str = "cuda") -> Iterator[Row | Failed]:
    """Generation of T5-base's 48 adapters and its backward pass, under autocast."""
    sites = [
        Site(stack, layer, kind)
        for stack in ("encoder", "decoder")
        for layer in range(12)
        for kind in ("attention", "feed_forward")
    ]
    network = SharedHyperNetworks(TaskContext(["task"]), sites, BOTTLENECK, 64, 128, 64).to(device)
    parameters = list(network.parameters())

    def generate(function) -> list[Tensor]:
        with torch.autocast(device, torch.bfloat16):
            return [tensor for weights in function(network.tasks()) for tensor in weights]

    steps = {}
    for name, form in {"per site": PerSite(network), "one product": network}.items():
        ones = [torch.ones_like(tensor) for tensor in generate(form)]
        steps[name] = lambda form=form, ones=ones: torch.autograd.grad(
            generate(form), parameters, ones
        )
    yield from _compare("hypernetwork", "T5-base, 48 adapters", steps)
