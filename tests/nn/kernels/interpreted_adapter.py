"""The adapter's kernels under the interpreter, through the operators, against float64."""

import interpreter
import pytest
import torch
from comparison import Kernels, error, poisoned  # noqa: F401

from suite.nn.kernels import adapter_triton
from suite.nn.kernels.adapter import AdapterWeights, fused, reference

interpreter.support_bfloat16()

NORMS = ("none", "pre", "post")
SHAPES = ((1, 8, 4), (137, 70, 5), (50, 130, 33))
"""(rows, width, bottleneck): less than a tile, ragged ends, more than one chunk and one split."""


FLOOR = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""Below these errors nobody is asked to be better than twice as bad as another."""

OPERATORS = {"adapter_forward": "forward", "adapter_backward": "backward"}


@pytest.fixture(scope="module", autouse=True)
def kernels():
    return Kernels(adapter_triton, OPERATORS)


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
    leaves = [t if t is None else t.detach().to(dtype, copy=True) for t in (y, *weights)]
    for leaf in leaves:
        if leaf is not None:
            leaf.requires_grad_()
    out = function(leaves[0], AdapterWeights(*leaves[1:]))
    out.backward(grad.to(dtype))
    return [out.detach()] + [leaf.grad for leaf in leaves if leaf is not None]


def compare(norm, shape, dtype, device="cpu"):
    """(relative error of ours, of the same operations one by one) for every result."""
    y, weights, grad = problem(*shape, norm, dtype)
    y, grad = y.to(device), grad.to(device)
    weights = AdapterWeights(*(w if w is None else w.to(device) for w in weights))
    exact = evaluate(lambda y, w: reference(y, w, norm), y, weights, grad, torch.float64)
    plain = evaluate(lambda y, w: reference(y, w, norm), y, weights, grad, dtype)
    ours = evaluate(lambda y, w: fused(y, w, norm, 1e-5, dtype), y, weights, grad, dtype)
    return [
        (error(mine, true), error(other, true))
        for mine, other, true in zip(ours, plain, exact, strict=True)
    ]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        pytest.param(torch.float16, marks=pytest.mark.nightly),
        torch.bfloat16,
    ],
    ids=str,
)
@pytest.mark.parametrize("few", [adapter_triton.FEW_ROWS, 0], ids=["narrow", "wide"])
def test_output_and_gradients_are_as_exact_as_those_of_separate_operations(
    norm, dtype, few, monkeypatch
):
    monkeypatch.setattr(adapter_triton, "FEW_ROWS", few)
    for shape in SHAPES:
        for ours, plain in compare(norm, shape, dtype):
            assert ours <= 2 * plain + FLOOR[dtype], (shape, ours, plain)


def test_what_is_not_contiguous_is_read_right():
    y, weights, grad = problem(12, 8, 4, "post", torch.float32)
    leaf = y.view(3, 4, 8).clone().requires_grad_()
    out = fused(leaf.transpose(0, 1), weights, "post", 1e-5, torch.float32)
    exact = reference(leaf.transpose(0, 1), weights, "post")
    torch.testing.assert_close(out, exact)
    grad = torch.randn(4, 8).expand(4, 3, 4, 8)[0].transpose(0, 1).expand_as(out)
    (ours,) = torch.autograd.grad(out, leaf, grad)
    (theirs,) = torch.autograd.grad(exact, leaf, grad)
    torch.testing.assert_close(ours, theirs)


def test_the_same_bits_every_time():
    results = []
    for _ in range(2):
        y, weights, grad = problem(*SHAPES[1], "post", torch.float32)
        call = lambda y, w: fused(y, w, "post", 1e-5, torch.float32)  # noqa: E731
        results.append(evaluate(call, y, weights, grad, torch.float32))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_compiles_into_one_graph():
    y, weights, grad = problem(10, 8, 4, "post", torch.float32)
    compiled = torch.compile(fused, backend="aot_eager", fullgraph=True)
    run = lambda f: evaluate(  # noqa: E731
        lambda y, w: f(y, w, "post", 1e-5, torch.float32), y, weights, grad, torch.float32
    )
    for ours, plain in zip(run(compiled), run(fused), strict=True):
        torch.testing.assert_close(ours, plain)


FAULTS = {
    "another derivative": ("0.134145", "0.044715"),
    "norm without its mean": (
        "(w - c2[:, None] - normal * c1[:, None])",
        "(w - normal * c1[:, None])",
    ),
    "splits that overlap": ("last = tl.minimum(first + rows, M)", "last = M"),
    "a split left out": ("for _ in range(splits)", "for _ in range(splits - 1)"),
    "no residual": ("(g + dx)", "(dx)"),
    "statistics of padding": (
        "tl.where(column[None, :] < H, u - mean[:, None], 0.0)",
        "u - mean[:, None]",
    ),
    "a row never written": (
        "(y + u).to(OUT.dtype.element_ty), mask=mask)",
        "(y + u).to(OUT.dtype.element_ty), mask=mask & (row[:, None] != 36))",
    ),
    "gamma and beta exchanged": (
        "tl.store(part + column, d_gamma",
        "tl.store(part + column, d_beta",
    ),
}


@pytest.mark.nightly
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault, kernels, tmp_path):
    kernels.plant(FAULTS[fault], tmp_path)
    errors = compare("post", SHAPES[1], torch.float32)
    kernels.restore()
    assert not all(ours <= 2 * plain + 2e-6 for ours, plain in errors)
