"""All kernels but the arena's, compiled, on a GPU.

python -m pytest tests/nn/kernels -n 0 -m gpu
"""

import sys
from pathlib import Path

import interpreted_adapter as adapters
import pytest
import torch
from comparison import error

from suite.nn.kernels.adapter import AdapterWeights, adapter, reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

PUBLISHED = (4096, 768, 24)
"""Rows, width and bottleneck of an adapter in T5-base."""


@pytest.fixture(autouse=True)
def fresh_seeds_exact_products():
    torch.manual_seed(torch.seed())
    torch.backends.cuda.matmul.allow_tf32 = False


@pytest.mark.parametrize("norm", adapters.NORMS)
@pytest.mark.parametrize("dtype", adapters.FLOOR, ids=str)
def test_adapters_are_as_exact_as_separate_operations(norm, dtype):
    for shape in (*adapters.SHAPES, PUBLISHED):
        for ours, plain in adapters.compare(norm, shape, dtype, "cuda"):
            assert ours <= 2 * plain + adapters.FLOOR[dtype], (shape, ours, plain)


def published(generated):
    """(x, weights, gradient of the output) at the published size, fp32 or generated in bf16."""
    y, weights, grad = adapters.problem(*PUBLISHED, "post", torch.float32)
    kind = torch.bfloat16 if generated else torch.float32
    weights = AdapterWeights(*(w.cuda().to(kind).requires_grad_() for w in weights))
    return y.cuda().bfloat16().requires_grad_(), weights, grad.cuda().bfloat16()


def both_ways(function, x, weights, grad):
    """Output and gradients under autocast."""
    with torch.autocast("cuda", torch.bfloat16):
        out = function(x, weights, "post")
    gradients = torch.autograd.grad(out, (x, *weights), grad.to(out.dtype))
    # Detached: an output that kept its graph would tie a later capture to this call's stream.
    return [out.detach(), *gradients]


@pytest.mark.parametrize("generated", [False, True], ids=["own", "generated"])
def test_adapters_under_autocast(generated):
    x, weights, grad = published(generated)
    exact = AdapterWeights(*(w.detach().double().requires_grad_() for w in weights))
    double = x.detach().double().requires_grad_()
    out = reference(double, exact, "post")
    true = [out, *torch.autograd.grad(out, (double, *exact), grad.double())]
    plain = both_ways(reference, x, weights, grad)
    for mine, other, right in zip(both_ways(adapter, x, weights, grad), plain, true, strict=True):
        assert error(mine, right) <= 2 * error(other, right) + 5e-3


def test_an_adapter_takes_four_kernels_both_ways():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "gpu"))
    from measure import launches

    problem = published(generated=True)
    assert launches(lambda: both_ways(adapter, *problem))[0] <= 4


def test_adapters_repeat_their_bits_in_eager_and_in_a_graph():
    problem = published(generated=False)
    first, second = both_ways(adapter, *problem), both_ways(adapter, *problem)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        both_ways(adapter, *problem)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = both_ways(adapter, *problem)
    graph.replay()
    for one, other, third in zip(first, second, replayed, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_adapters_compile_into_one_graph():
    problem = published(generated=False)
    compiled = torch.compile(adapter, fullgraph=True)
    for ours, plain in zip(
        both_ways(compiled, *problem), both_ways(adapter, *problem), strict=True
    ):
        torch.testing.assert_close(ours, plain)
