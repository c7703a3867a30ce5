"""How a Triton kernel is launched: its tile sizes, fixed ahead of time.

Nothing is tuned while a program runs: every configuration that ships has been compiled ahead of
time for every supported architecture and stays within its budget of registers and shared memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Launch:
    """Constants of a kernel, and the options of its compilation."""

    constants: Mapping[str, int]
    num_warps: int
    num_stages: int

    @property
    def options(self) -> dict[str, int | bool]:
        """Options of the compiler; contraction to fused multiply-add is asked for by name because
        its default differs between versions of Triton."""
        return {
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
            "enable_fp_fusion": True,
        }

    @property
    def arguments(self) -> dict[str, int | bool]:
        """Keyword arguments of the launch."""
        return {**self.constants, **self.options}


def dot_precision(dtype: torch.dtype) -> str:
    """Exact products of fp32 operands; others know one precision only."""
    return "ieee" if dtype == torch.float32 else "tf32"
