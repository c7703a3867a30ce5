"""The machine code of every kernel but the arena's, for GPUs that are not there.

No kernel spills a register (but for `SPILLED`) or asks for more shared memory than there is; every
product runs on tensor cores; a multiprocessor holds at least 256 threads. Registers may not grow by
more than 8 over those in the tables below, one column for each architecture.
"""

from pathlib import Path

import pytest
from aot import ARCHITECTURES, SHARED_LIMIT, Case, compile_for, some

from suite.nn.kernels import adapter_triton
from suite.nn.kernels.launch import Launch

MARGIN = 8

EVERY_ONE = [
    pytest.param(each, marks=() if each == 90 else pytest.mark.nightly) for each in ARCHITECTURES
]
"""Those that the data centres have most of are looked at on every push."""

REGISTERS = {
    "forward, none norm, fp32, 24": (56, 108, 110),
    "backward_input, none norm, fp32, 24": (72, 86, 74),
    "backward_weights, none norm, fp32, 24": (98, 121, 80),
    "forward, none norm, fp32, 24, few rows": (62, 59, 59),
    "backward_input, none norm, fp32, 24, few rows": (72, 74, 72),
    "forward, pre norm, fp32, 24": (96, 122, 108),
    "backward_input, pre norm, fp32, 24": (80, 168, 168),
    "backward_weights, pre norm, fp32, 24": (180, 255, 184),
    "forward, pre norm, fp32, 24, few rows": (80, 80, 76),
    "backward_input, pre norm, fp32, 24, few rows": (80, 80, 80),
    "forward, post norm, fp32, 24": (72, 128, 146),
    "backward_input, post norm, fp32, 24": (114, 179, 142),
    "backward_weights, post norm, fp32, 24": (242, 255, 168),
    "forward, post norm, fp32, 24, few rows": (80, 80, 78),
    "backward_input, post norm, fp32, 24, few rows": (114, 124, 128),
    "forward, post norm, bf16, 24": (72, 122, 128),
    "backward_input, post norm, bf16, 24": (96, 174, 128),
    "backward_weights, post norm, bf16, 24": (242, 255, 168),
    "forward, post norm, bf16, 24, few rows": (64, 64, 64),
    "backward_input, post norm, bf16, 24, few rows": (96, 100, 88),
    "forward, post norm, fp32, 64": (128, 128, 128),
    "backward_input, post norm, fp32, 64": (128, 214, 168),
    "backward_weights, post norm, fp32, 64": (128, 255, 168),
    "forward, post norm, fp32, 64, few rows": (96, 80, 92),
    "backward_input, post norm, fp32, 64, few rows": (128, 128, 128),
    "reduce": (32, 31, 30),
}  # fmt: skip
"""Registers of a thread on sm_80, sm_90 and sm_100: the larger number of Triton 3.6 and 3.8."""

SPILLED = {
    ("backward_weights, post norm, fp32, 24", 90): 24,
    ("backward_weights, post norm, bf16, 24", 90): 24,
}
"""Bytes that Triton 3.6 spills; on an H100 the tile was faster than every one without."""

STREAMING = ("reduce",)
"""This one has no products."""


def types(names: str, kind: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


def adapter_cases(norm: str, weights: str, bottleneck: int, architecture: int):
    """The kernels at a width of 768: `weights` are fp32 (own ones) or bf16 (generated)."""
    padded = 32 if bottleneck <= 32 else 64
    shape = {"H": 768, "R": bottleneck, "RP": padded, "PRECISION": "tf32"}
    shape |= {"PRE": norm == "pre", "POST": norm == "post"}
    affine = types("GAMMA BETA", f"*{weights}")
    if norm == "none":
        shape, affine = shape | {"GAMMA": None, "BETA": None}, {}
    statistics = types("MEAN RSTD", "*fp32") | {"M": "i32"}
    signatures = {
        "forward": (
            types("Y OUT Z", "*bf16") | types("UP UP_BIAS DOWN DOWN_BIAS", f"*{weights}"),
            {"epsilon": "fp32"},
        ),
        "backward_input": (
            types("GRAD Y OUT Z DZ", "*bf16") | types("UP UP_BIAS DOWN", f"*{weights}"),
            types("C1 C2", "*fp32"),
        ),
        "backward_weights": (
            types("GRAD Y Z DZ", "*bf16") | types("UP UP_BIAS DOWN", f"*{weights}"),
            types("C1 C2 PARTS", "*fp32") | types("rows size", "i32"),
        ),
    }
    for few in (False, True):
        rows = 1 if few else adapter_triton.FEW_ROWS
        chosen = adapter_triton.launches(rows, padded, architecture)
        for name, (signature, more) in signatures.items():
            if few and name == "backward_weights":
                continue  # its tile does not depend on the rows
            launch = getattr(chosen, name)
            kernel = getattr(adapter_triton, f"{name}_kernel")
            words = f"{name}, {norm} norm, {weights}, {bottleneck}{', few rows' if few else ''}"
            arguments = signature | affine | statistics | more
            yield case(words, kernel, arguments, {**launch.constants, **shape}, launch)


def case(name: str, kernel, signature, constants, launch: Launch) -> Case:
    names = set(kernel.arg_names)
    signature = {name: kind for name, kind in signature.items() if name in names}
    constants = {name: value for name, value in constants.items() if name in names}
    return Case(name, kernel, signature, constants, options=launch.options)


def other_cases():
    yield case(
        "reduce",
        adapter_triton.reduce_kernel,
        types("PARTS OUT", "*fp32") | types("splits size", "i32"),
        adapter_triton.REDUCE.constants,
        adapter_triton.REDUCE,
    )


def cases(architecture: int) -> dict[str, Case]:
    forms = (("none", "fp32", 24), ("pre", "fp32", 24), ("post", "fp32", 24), ("post", "bf16", 24))
    every = [case for form in forms for case in adapter_cases(*form, architecture)]
    every += [*adapter_cases("post", "fp32", 64, architecture), *other_cases()]
    return {case.name: case for case in every}


@pytest.mark.parametrize("architecture", EVERY_ONE)
@pytest.mark.parametrize("name", some(REGISTERS))
def test_machine_code_stays_within_its_budget(name, architecture):
    report = compile_for(cases(architecture)[name], architecture)
    budget = REGISTERS[name][ARCHITECTURES.index(architecture)] + MARGIN
    assert report.spill_bytes <= SPILLED.get((name, architecture), 0)
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
    launches = adapter_triton.Launches(wide, wide, wide)
    monkeypatch.setattr(adapter_triton, "launches", lambda *_: launches)
    name = "backward_input, post norm, fp32, 24"
    assert compile_for(cases(90)[name], 90).spill_bytes > 0
