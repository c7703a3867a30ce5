"""Print what every kernel compiles to on GPUs that are not there, as a Markdown page.

    python tests/nn/kernels/report.py > docs/compiled.md

`test_compiled.py` and `test_compiled_arena.py` hold the same figures to their budgets.
"""

import torch
import triton
from aot import ARCHITECTURES, SHARED_LIMIT, Case, compile_for
from tabulate import tabulate
from test_compiled import cases
from test_compiled_arena import CASES

COLUMNS = (
    "kernel",
    "registers",
    "spilled bytes",
    "shared bytes",
    "threads",
    "resident threads",
    "16-byte loads",
    "tensor-core instructions",
    "instructions",
)

INTRODUCTION = """\
<!-- Printed by `python tests/nn/kernels/report.py`. Do not edit. -->

# What the kernels compile to

Triton {triton}, torch {torch}; compiled for each architecture without a device and disassembled.
Registers are those of a thread, shared memory and threads those of a block. Resident threads are
what registers and shared memory let one multiprocessor hold, of 2048. A 16-byte load is one
`LDG.128`; tensor-core instructions are `HMMA`, `HGMMA` and `UTC*MMA`. The adapter's kernels are
those of a width of 768 with a bottleneck of 24 or 64, rows in bf16 and weights in the type that
the name says."""


def row(case: Case, architecture: int) -> tuple[object, ...]:
    """The cells of one kernel."""
    report = compile_for(case, architecture)
    return (
        case.name,
        report.registers,
        report.spill_bytes,
        report.shared_bytes,
        report.threads,
        report.resident_threads,
        report.wide_loads,
        report.tensor_core,
        report.instructions,
    )


def main() -> None:
    """Compile everything, one table for each architecture."""
    print(INTRODUCTION.format(triton=triton.__version__, torch=torch.__version__.split("+")[0]))
    for architecture in ARCHITECTURES:
        rows = [
            row(case, architecture) for case in [*CASES.values(), *cases(architecture).values()]
        ]
        limit = SHARED_LIMIT[architecture]
        print(f"\n## sm_{architecture}\n\nA block may use {limit:,} bytes of shared memory.\n")
        print(tabulate(rows, headers=COLUMNS, tablefmt="pipe"))


if __name__ == "__main__":
    main()
