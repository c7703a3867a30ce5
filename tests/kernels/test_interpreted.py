"""Run `interpreted_*.py` beside this file, each in a process of its own under the interpreter.

Triton decides when a kernel is decorated whether to interpret or to compile it, so one process
cannot do both. Such a file holds ordinary tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("interpreted_*.py")), ids=lambda path: path.stem)
def test_the_kernels_compute_what_their_reference_computes(path):
    result = subprocess.run(
        [sys.executable, "-m", "pytest", str(path), "-p", "no:cacheprovider", "--no-header"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
