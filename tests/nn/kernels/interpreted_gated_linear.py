"""The gated linear layer's kernels under the interpreter, through the operators."""

import interpreter
import pytest
import torch
from comparison import Kernels, error, poisoned  # noqa: F401

from suite.nn.kernels import gated_linear_triton
from suite.nn.kernels.gated_linear import fused, reference
from suite.nn.kernels.grouped import Segments

interpreter.support_bfloat16()

THRESHOLD = 0.1
CASES = (
    (Segments((1,)), 16, 16),
    (Segments((20, 0, 9, 33)), 70, 50),
    (Segments((3, 2, 7, 1)), 130, 97),
)
"""(rows of every task, N, K): one row, a task without rows, more than one tile each way."""


OPERATORS = {"gated_linear": "product", "gated_linear_weights": "weight_gradients"}


@pytest.fixture(scope="module", autouse=True)
def kernels():
    return Kernels(gated_linear_triton, OPERATORS)


def problem(segments, n, k, scores, dtype):
    torch.manual_seed(n)
    x, weight = torch.randn(segments.starts[-1], k), torch.randn(n, k) / k**0.5
    deltas = torch.randn(len(segments.sizes), n, k) / k**0.5
    tensors = [tensor.to(dtype) for tensor in (x, weight, deltas)]
    return [*tensors, torch.tensor(scores)], torch.randn(len(x), n).to(dtype)


def evaluate(function, segments, tensors, grad):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    out = function(*leaves, segments, THRESHOLD, None)
    out.backward(grad.to(out.dtype))
    return [out.detach()] + [leaf.grad for leaf in leaves]


GATES = {
    "mixed": (0.15, 0.05, 0.0999999, 0.2),
    "at the threshold": (0.1, 0.1, 0.1, 0.1),
    "all closed": (0.0,) * 4,
    "all open": (0.3,) * 4,
}


FLOOR = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def errors(gates, dtype, device="cpu", cases=CASES):
    """Relative errors of the output and all gradients, in every case."""
    found = []
    for segments, n, k in cases:
        scores = GATES[gates][: len(segments.sizes)]
        tensors, grad = problem(segments, n, k, scores, dtype)
        tensors, grad = [tensor.to(device) for tensor in tensors], grad.to(device)
        ours = evaluate(fused, segments, tensors, grad)
        exact = evaluate(reference, segments, [t.double() for t in tensors], grad)
        found += [error(mine, true) for mine, true in zip(ours, exact, strict=True)]
    return found


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("dtype", FLOOR, ids=str)
def test_products_and_gradients_are_those_of_one_task_after_the_other(gates, dtype):
    assert max(errors(gates, dtype)) < FLOOR[dtype]


def test_a_closed_task_stores_no_weight_gradient():
    segments = Segments((5, 6))
    tensors, grad = problem(segments, 20, 24, (0.0, 0.2), torch.float32)
    _, _, _, d_deltas, d_scores = evaluate(fused, segments, tensors, grad)
    assert (d_deltas[0] == 0).all()
    assert (d_deltas[1] != 0).all()
    assert (d_scores != 0).all()


def test_compiles_into_one_graph():
    segments = Segments((5, 6))
    tensors, grad = problem(segments, 20, 24, (0.0, 0.2), torch.float32)
    compiled = torch.compile(fused, backend="aot_eager", fullgraph=True)
    for ours, plain in zip(
        evaluate(compiled, segments, tensors, grad),
        evaluate(fused, segments, tensors, grad),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)


FAULTS = {
    "a gate that is closed at the threshold": (">= threshold", "> threshold"),
    "a change left out": ("b += tl.load(d,", "tl.load(d,"),
    "a closed task that stores": (">= threshold:\n        tl.store", "> -1:\n        tl.store"),
    "a row of the next task": ("rows = m[:, None] < end", "rows = m[:, None] < end - 1"),
    "a score's gradient without the change": ("tl.sum(total * d)", "tl.sum(total)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault, kernels, tmp_path):
    kernels.plant(FAULTS[fault], tmp_path)
    found = [
        number
        for gates in ("mixed", "at the threshold")
        for number in errors(gates, torch.float32, cases=CASES[1:2])
    ]
    kernels.restore()
    assert not all(number < FLOOR[torch.float32] for number in found)
