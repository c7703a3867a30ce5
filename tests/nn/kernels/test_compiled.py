"""The machine code of every kernel but the arena's, for GPUs that are not there.

No kernel spills a register or asks for more shared memory than there is; every product runs on
tensor cores; a multiprocessor holds at least 256 threads. Registers may not grow by more than 8
over those in the tables below, one column for each architecture.
"""

from pathlib import Path

import pytest
from aot import ARCHITECTURES, SHARED_LIMIT, Case, compile_for

from suite.nn.kernels import adapter_triton, gated_linear_triton
from suite.nn.kernels.launch import Launch

MARGIN = 8

REGISTERS = {
    "forward, none norm, fp32, 24": (56, 52, 52),
    "backward_input, none norm, fp32, 24": (72, 52, 54),
    "backward_weights, none norm, fp32, 24": (98, 64, 48),
    "forward, pre norm, fp32, 24": (96, 71, 64),
    "backward_input, pre norm, fp32, 24": (80, 56, 61),
    "backward_weights, pre norm, fp32, 24": (180, 118, 94),
    "forward, post norm, fp32, 24": (72, 64, 56),
    "backward_input, post norm, fp32, 24": (114, 96, 84),
    "backward_weights, post norm, fp32, 24": (242, 128, 80),
    "forward, post norm, bf16, 24": (72, 56, 62),
    "backward_input, post norm, bf16, 24": (96, 80, 78),
    "backward_weights, post norm, bf16, 24": (242, 128, 80),
    "forward, post norm, fp32, 64": (128, 96, 96),
    "backward_input, post norm, fp32, 64": (128, 120, 112),
    "backward_weights, post norm, fp32, 64": (128, 136, 93),
    "reduce": (32, 31, 30),
    "product forward, W and D in bf16": (72, 64, 64),
    "product backward, W and D in bf16": (72, 72, 70),
    "product forward, W and D in fp32": (96, 104, 96),
    "product backward, W and D in fp32": (72, 71, 72),
    "weights": (150, 134, 120),
    "scores": (24, 28, 23),
}  # fmt: skip
"""Registers of a thread on sm_80, sm_90 and sm_100: the larger number of Triton 3.6 and 3.8."""

STREAMING = ("reduce", "scores")
"""These have no products."""


def types(names: str, kind: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


def adapter_cases(norm: str, weights: str, bottleneck: int, ampere: bool):
    """The three kernels at a width of 768: `weights` are fp32 (own ones) or bf16 (generated)."""
    padded = 32 if bottleneck <= 32 else 64
    shape = {"H": 768, "R": bottleneck, "RP": padded, "PRECISION": "tf32"}
    shape |= {"PRE": norm == "pre", "POST": norm == "post"}
    affine = types("GAMMA BETA", f"*{weights}")
    if norm == "none":
        shape, affine = shape | {"GAMMA": None, "BETA": None}, {}
    statistics = types("MEAN RSTD", "*fp32") | {"M": "i32"}
    last = adapter_triton.BACKWARD_WEIGHTS
    if ampere:
        last = adapter_triton.BACKWARD_WEIGHTS_AMPERE
    forms = {
        "forward": (
            adapter_triton.FORWARD,
            types("Y OUT Z", "*bf16") | types("UP UP_BIAS DOWN DOWN_BIAS", f"*{weights}"),
            {"epsilon": "fp32"},
        ),
        "backward_input": (
            adapter_triton.BACKWARD_INPUT,
            types("GRAD Y OUT Z DZ", "*bf16") | types("UP UP_BIAS DOWN", f"*{weights}"),
            types("C1 C2", "*fp32"),
        ),
        "backward_weights": (
            last,
            types("GRAD Y Z DZ", "*bf16") | types("UP UP_BIAS DOWN", f"*{weights}"),
            types("C1 C2 PARTS", "*fp32") | types("rows size", "i32"),
        ),
    }
    for name, (launch, signature, more) in forms.items():
        kernel = getattr(adapter_triton, f"{name}_kernel")
        signature = signature | affine | statistics | more
        constants = {**launch.constants, **shape}
        yield case(
            f"{name}, {norm} norm, {weights}, {bottleneck}", kernel, signature, constants, launch
        )


def case(name: str, kernel, signature, constants, launch: Launch, aligned=()) -> Case:
    names = set(kernel.arg_names)
    signature = {name: kind for name, kind in signature.items() if name in names}
    constants = {name: value for name, value in constants.items() if name in names}
    return Case(name, kernel, signature, constants, aligned, launch.options)


def other_cases():
    yield case(
        "reduce",
        adapter_triton.reduce_kernel,
        types("PARTS OUT", "*fp32") | types("splits size", "i32"),
        adapter_triton.REDUCE.constants,
        adapter_triton.REDUCE,
    )
    for name, kind in (("W and D in bf16", "*bf16"), ("W and D in fp32", "*fp32")):
        for way, strides in (
            ("forward", {"stride_i": "constexpr", "stride_j": "i32"}),
            ("backward", {"stride_i": "i32", "stride_j": "constexpr"}),
        ):
            one = {stride: 1 for stride, type_ in strides.items() if type_ == "constexpr"}
            yield case(
                f"product {way}, {name}",
                gated_linear_triton.product_kernel,
                types("X OUT", "*bf16")
                | types("W D", kind)
                | types("S", "*fp32")
                | types("ROW END TASK", "*i32")
                | types("inner outer", "i32")
                | {"threshold": "fp32", "stride_t": "i32"}
                | {stride: type_ for stride, type_ in strides.items() if stride not in one},
                {**gated_linear_triton.PRODUCT.constants, "PRECISION": "tf32", **one},
                gated_linear_triton.PRODUCT,
                ("inner", "outer", "stride_i", "stride_j", "stride_t"),
            )
    yield case(
        "weights",
        gated_linear_triton.weights_kernel,
        types("GRAD X", "*bf16")
        | types("D S OUT PARTS", "*fp32")
        | types("N K", "i32")
        | {"BOUNDS": "*i32", "threshold": "fp32"},
        {**gated_linear_triton.WEIGHTS.constants, "PRECISION": "tf32"},
        gated_linear_triton.WEIGHTS,
        ("N", "K"),
    )
    yield case(
        "scores",
        gated_linear_triton.scores_kernel,
        types("PARTS OUT", "*fp32") | {"tiles": "i32"},
        gated_linear_triton.SCORES.constants,
        gated_linear_triton.SCORES,
    )


def cases(architecture: int) -> dict[str, Case]:
    forms = (("none", "fp32", 24), ("pre", "fp32", 24), ("post", "fp32", 24), ("post", "bf16", 24))
    every = [case for form in forms for case in adapter_cases(*form, architecture < 90)]
    every += [*adapter_cases("post", "fp32", 64, architecture < 90), *other_cases()]
    return {case.name: case for case in every}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", REGISTERS)
def test_machine_code_stays_within_its_budget(name, architecture):
    report = compile_for(cases(architecture)[name], architecture)
    budget = REGISTERS[name][ARCHITECTURES.index(architecture)] + MARGIN
    assert report.spill_bytes == 0
    assert report.registers <= budget
    assert report.shared_bytes <= SHARED_LIMIT[architecture]
    assert report.resident_threads >= 256
    assert bool(report.tensor_core) == (name not in STREAMING)


def test_every_compiled_kernel_has_a_budget():
    assert all(set(cases(architecture)) == set(REGISTERS) for architecture in ARCHITECTURES)


def test_the_page_of_figures_shows_every_kernel_on_every_architecture():
    page = Path(__file__).parents[3].joinpath("docs", "compiled.md").read_text()
    missing = [name for name in REGISTERS if page.count(f"| {name} ") != len(ARCHITECTURES)]
    assert missing == [], "print it anew: python tests/nn/kernels/report.py > docs/compiled.md"


def test_a_tile_that_is_too_wide_is_caught(monkeypatch):
    wide = Launch({"BM": 32, "BC": 128}, num_warps=4, num_stages=1)
    monkeypatch.setattr(adapter_triton, "BACKWARD_INPUT", wide)
    name = "backward_input, post norm, fp32, 24"
    assert compile_for(cases(90)[name], 90).spill_bytes > 0
