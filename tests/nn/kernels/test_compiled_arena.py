"""The machine code of the arena's kernels, for GPUs that are not there.

Kernels that read and write every weight must not spill, must load 16 bytes at once, and must leave
a multiprocessor room for at least 1024 threads, so that enough loads are under way to fill the
memory's bandwidth. Shared memory only exchanges bf16 for fp32 and sums. Registers may not grow by
more than 8 over those in the table.
"""

import pytest
import triton.language as tl
from aot import ARCHITECTURES, Case, compile_for, some

from suite.nn.kernels import arena_triton as kernels

MARGIN = 8
SHARED = 8192

REGISTERS = {
    "merge": (28, 26, 28),
    "flip": (26, 26, 28),
    "products, bf16, searching": (28, 28, 28),
    "products, bf16, locked": (16, 15, 20),
    "products, fp32, searching": (30, 28, 28),
    "products, fp32, locked": (18, 16, 16),
    "change, bf16, searching, sgd": (40, 40, 40),
    "change, bf16, searching, sgd, clipped": (40, 40, 40),
    "change, bf16, searching, adamw": (48, 48, 56),
    "change, bf16, searching, adamw, clipped": (43, 48, 52),
    "change, bf16, locked, sgd": (36, 40, 40),
    "change, bf16, locked, sgd, clipped": (40, 40, 40),
    "change, bf16, locked, adamw": (40, 48, 48),
    "change, bf16, locked, adamw, clipped": (43, 48, 52),
    "change, fp32, searching, sgd": (40, 40, 40),
    "change, fp32, searching, sgd, clipped": (40, 36, 38),
    "change, fp32, searching, adamw": (63, 56, 54),
    "change, fp32, searching, adamw, clipped": (48, 61, 56),
    "change, fp32, locked, sgd": (40, 40, 40),
    "change, fp32, locked, sgd, clipped": (40, 36, 38),
    "change, fp32, locked, adamw": (48, 56, 56),
    "change, fp32, locked, adamw, clipped": (48, 61, 56),
    "reduce, not clipped": (29, 29, 29),
    "reduce, clipped": (40, 40, 48),
    "gate score, not clipped": (29, 30, 30),
    "gate score, clipped": (30, 31, 31),
}
"""Registers of a thread on sm_80, sm_90 and sm_100."""

TABLES = {"layer_of": "*i32", "first_block": "*i32", "numel": "*i32", "hyper": "*fp32"}


def streaming(name, kernel, pointers, gradient=None, **modes):
    """A kernel over all weights; W0, leaves and gradients are bf16 or fp32, the rest fp32."""
    kinds = {"weights": "*i64", "gradients": "*i64", "merged": f"*{gradient or 'bf16'}"}
    signature = {p: kinds.get(p, "*fp32") for p in pointers.split()} | TABLES
    if "hyper" not in kernel.arg_names:
        del signature["hyper"]
    constants = {**kernels.STREAM.constants, "ALIGNED": True, **modes}
    if "GRADIENT" in kernel.arg_names:
        constants["GRADIENT"] = tl.bfloat16 if gradient == "bf16" else tl.float32
    return Case(name, kernel, signature, constants, options=kernels.STREAM.options)


def cases():
    yield streaming("merge", kernels.merge_kernel, "weights change gate_score merged")
    yield streaming("flip", kernels.flip_kernel, "weights change gate_score previous merged")
    for gradient in ("bf16", "fp32"):
        for locked in (False, True):
            state = f"{gradient}, {'locked' if locked else 'searching'}"
            yield streaming(
                f"products, {state}",
                kernels.products_kernel,
                "gradients change products squares",
                gradient,
                LOCKED=locked,
            )
            for adamw in (False, True):
                for clip in (False, True):
                    rule = f"{'adamw' if adamw else 'sgd'}{', clipped' if clip else ''}"
                    yield streaming(
                        f"change, {state}, {rule}",
                        kernels.change_kernel,
                        "weights gradients change momentum variance merged gate_score previous "
                        "products coefficient",
                        gradient,
                        ADAMW=adamw,
                        CLIP=clip,
                        LOCKED=locked,
                    )
    for clip in (False, True):
        rule = "clipped" if clip else "not clipped"
        yield Case(
            f"reduce, {rule}",
            kernels.reduce_kernel,
            dict.fromkeys(
                (
                    "products",
                    "squares",
                    "gate_score",
                    "gate_score_gradient",
                    "layer_square",
                    "hyper",
                ),
                "*fp32",
            )
            | {"first_block": "*i32"},
            {"CLIP": clip, "LOCKED": False, **kernels.REDUCE.constants},
            options=kernels.REDUCE.options,
        )
        yield Case(
            f"gate score, {rule}",
            kernels.gate_score_kernel,
            dict.fromkeys(
                (
                    "gate_score", "previous", "momentum", "variance", "gate_score_gradient",
                    "layer_square", "other_norm", "coefficient", "hyper",
                ),
                "*fp32",
            )
            | {"layers": "i32"},
            {"ADAMW": True, "CLIP": clip, "LOCKED": False, "WIDTH": 256},
            options=kernels.ONE.options,
        )  # fmt: skip


CASES = {case.name: case for case in cases()}


def test_every_kernel_has_a_budget():
    assert set(REGISTERS) == set(CASES)


@pytest.mark.parametrize("name", some(CASES))
def test_the_machine_code_stays_within_its_budget(name):
    case = CASES[name]
    for architecture, registers in zip(ARCHITECTURES, REGISTERS[name], strict=True):
        report = compile_for(case, architecture)
        assert report.spill_bytes == 0
        assert report.registers <= registers + MARGIN
        assert report.shared_bytes <= SHARED

        assert report.resident_threads >= 1024
        if case.options == kernels.STREAM.options:
            assert report.wide_loads >= 1
