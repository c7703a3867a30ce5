"""Compile Triton kernels for GPUs that are not there and read what the machine code costs.

Triton's wheel carries the assembler and the disassembler, so neither a driver nor a device is
needed. Kernels must have been decorated without TRITON_INTERPRET.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import compiler as nvidia
from triton.compiler import ASTSource

ARCHITECTURES = (80, 90, 100)

SHARED_LIMIT = {80: 166_912, 90: 232_448, 100: 232_448}
"""Shared memory one block may use, in bytes (CUDA C++ Programming Guide, compute capabilities)."""


EVERY = 8
"""One name in so many is compiled on every push, the others at night."""


def some(names: Iterable[str]) -> list[object]:
    """The names as parameters of a test."""
    return [
        pytest.param(name, marks=() if place % EVERY == 0 else pytest.mark.nightly)
        for place, name in enumerate(names)
    ]


@dataclass(frozen=True)
class Case:
    """One kernel with the types and constants of one launch.

    `signature` gives the type of every run-time argument (`*fp32`, `i32`, ...); pointers are
    declared divisible by 16, as a launch finds them to be.
    """

    name: str
    kernel: triton.JITFunction
    signature: Mapping[str, str]
    constants: Mapping[str, object]
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What one kernel costs on one architecture."""

    registers: int
    spill_bytes: int
    shared_bytes: int
    threads: int
    wide_loads: int
    """Global loads of 16 bytes."""
    tensor_core: int
    """Tensor-core instructions of any generation (HMMA, HGMMA, UTC*MMA)."""
    instructions: int

    @property
    def resident_threads(self) -> int:
        """Threads that registers and shared memory let one multiprocessor hold, of 2048."""
        granted = -(-max(self.registers, 1) // 8) * 8
        blocks = min(65536 // (granted * self.threads), 2048 // self.threads, 32)
        return self.threads * min(blocks, 233_472 // (self.shared_bytes + 1024))


def compile_for(case: Case, architecture: int) -> Report:
    """Compile and disassemble; raises whatever Triton raises for a kernel that does not compile."""
    names = case.kernel.arg_names
    unknown = (set(case.signature) | set(case.constants)) - set(names)
    missing = set(names) - set(case.signature) - set(case.constants)
    if unknown or missing:
        raise ValueError(f"{case.name}: unknown arguments {unknown}, missing {missing}")
    source = ASTSource(
        fn=case.kernel,
        signature={name: case.signature.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in case.constants.items()},
        attrs={
            (index,): [["tt.divisibility", 16]]
            for index, name in enumerate(names)
            if case.signature.get(name, "").startswith("*")
        },
    )
    options = {"enable_fp_fusion": True, **case.options}
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    registers, code = _disassemble(compiled.asm["cubin"])
    return Report(
        registers=registers,
        spill_bytes=_spills(compiled.asm["ptx"], architecture),
        shared_bytes=compiled.metadata.shared,
        threads=32 * compiled.metadata.num_warps,
        wide_loads=sum(op.startswith("LDG") and ".128" in op for op in code),
        tensor_core=sum(bool(re.match(r"HMMA|HGMMA|UTC\w*MMA", op)) for op in code),
        instructions=len(code),
    )


@cache
def _tool(name: str) -> str:
    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    return str(folder / name)


def _disassemble(cubin: bytes) -> tuple[int, list[str]]:
    """(registers of a thread, opcodes in order)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        usage, code = (
            subprocess.run(
                [_tool("cuobjdump"), option, str(path)], capture_output=True, text=True, check=True
            ).stdout
            for option in ("-res-usage", "-sass")
        )
    registers = re.search(r"\bREG:(\d+)", usage)
    assert registers, usage
    pattern = r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)"
    return int(registers[1]), re.findall(pattern, code, re.MULTILINE)


def _spills(ptx: str, architecture: int) -> int:
    """Bytes of spill stores and loads, as the assembler that Triton picks reports them."""
    target = re.search(r"\.target (sm_\w+)", ptx)
    assert target
    chosen = nvidia.get_ptxas(architecture)
    assembler = getattr(chosen, "path", chosen[0] if isinstance(chosen, tuple) else chosen)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        log = subprocess.run(
            [assembler, "-v", f"--gpu-name={target[1]}", str(source), "-o", f"{source}.o"],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert spills, log
    return int(spills[1]) + int(spills[2])
