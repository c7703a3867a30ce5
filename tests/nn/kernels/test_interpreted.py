"""Run `interpreted_*.py` beside this file, each in a process of its own under the interpreter.

Triton decides when a kernel is decorated whether to interpret or to compile it, so one process
cannot do both. Such a file holds ordinary tests.
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    Version(version("triton")) < Version("3.7") and Version(version("numpy")) >= Version("2.4"),
    reason="the interpreter of Triton 3.6 needs NumPy below 2.4",
)


FILES = sorted(path.stem for path in HERE.glob("interpreted_*.py"))
EVERY_TIME = ("interpreted_strongest",)
"""The others take a minute each."""
AT_NIGHT = [name for name in FILES if "mark.nightly" in (HERE / f"{name}.py").read_text()]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in EVERY_TIME else pytest.mark.nightly) for name in FILES],
)
def test_the_kernels_compute_what_their_reference_computes(name):
    interpret(name, "not nightly")


@pytest.mark.nightly
@pytest.mark.parametrize("name", AT_NIGHT)
def test_every_form_is_right_and_every_planted_fault_is_found(name):
    interpret(name, "nightly")


def interpret(name, marked):
    result = subprocess.run(
        # In this one process: two workers would import torch twice more for one file.
        [
            *(sys.executable, "-m", "pytest", "-n", "0", "-m", marked, "-p", "no:cacheprovider"),
            str(HERE / f"{name}.py"),
        ],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
