"""The adapter's kernels under the interpreter, through the operators, against float64."""

import interpreter
import pytest
import torch

from suite.kernels import adapter_triton
from suite.kernels.adapter import AdapterWeights, fused, reference

interpreter.support_bfloat16()

NORMS = ("none", "pre", "post")
SHAPES = ((1, 8, 4), (37, 70, 5), (45, 96, 24), (130, 200, 33))
"""(rows, width, bottleneck): less than a tile, ragged ends, more than one chunk and one split."""


@pytest.fixture(scope="module", autouse=True)
def kernels_serve_the_cpu():
    library = torch.library.Library("suite", "IMPL")
    library.impl("adapter_forward", adapter_triton.forward, "CPU")
    library.impl("adapter_backward", adapter_triton.backward, "CPU")
    yield
    library._destroy()


@pytest.fixture(autouse=True)
def poisoned():
    """New memory is NaN, and so is whatever a kernel forgets to write."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def problem(rows, width, bottleneck, norm, dtype):
    """(y, weights, gradient of the output) with values of order one."""
    torch.manual_seed(rows)
    own = AdapterWeights(
        torch.randn(width, bottleneck) / bottleneck**0.5,
        torch.randn(width) / 10,
        torch.randn(bottleneck, width) / width**0.5,
        torch.randn(bottleneck) / 10,
        1 + torch.randn(width) / 3 if norm != "none" else None,
        torch.randn(width) / 10 if norm != "none" else None,
    )
    y, grad = torch.randn(rows, width) + 0.5, torch.randn(rows, width)
    own = AdapterWeights(*(w if w is None else w.to(dtype) for w in own))
    return y.to(dtype), own, grad.to(dtype)


def evaluate(function, y, weights, grad, dtype):
    """[output, gradient of y, gradients of the weights] computed in `dtype`."""
    leaves = [None if t is None else t.to(dtype).requires_grad_() for t in (y, *weights)]
    out = function(leaves[0], AdapterWeights(*leaves[1:]))
    out.backward(grad.to(dtype))
    return [out.detach()] + [leaf.grad for leaf in leaves if leaf is not None]


def error(value, exact):
    return float((value.double() - exact).norm() / exact.norm())


def compare(norm, shape, dtype, function=fused):
    """(relative error of ours, of the same operations one by one) for every result."""
    y, weights, grad = problem(*shape, norm, dtype)
    exact = evaluate(lambda y, w: reference(y, w, norm), y, weights, grad, torch.float64)
    plain = evaluate(lambda y, w: reference(y, w, norm), y, weights, grad, dtype)
    ours = evaluate(lambda y, w: function(y, w, norm, 1e-5, dtype), y, weights, grad, dtype)
    return [
        (error(mine, true), error(other, true))
        for mine, other, true in zip(ours, plain, exact, strict=True)
    ]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_output_and_gradients_are_as_exact_as_those_of_separate_operations(norm, dtype):
    floor = 2e-6 if dtype == torch.float32 else 1e-3 if dtype == torch.float16 else 8e-3
    for shape in SHAPES:
        for ours, plain in compare(norm, shape, dtype):
            assert ours <= 2 * plain + floor, (shape, ours, plain)
