"""Streams that are closed, full or broken: what is asked for is done, and the exit code says so."""

import subprocess
import sys

import pytest
from registries import write_registry
from shell import environment

PLAN = f"{sys.executable} -m suite plan -m one -t toy"


@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        (">&-", 0),
        ("2>&-", 0),
        (">&- 2>&- <&-", 0),
        (">/dev/full 2>/dev/full", 0),
        ("2>/dev/full | head -c 0", 0),
        ("--nonsense 2>&-", 2),
        ("--nonsense 2>/dev/full", 2),
    ],
)
def test_nobody_need_listen(tmp_path, redirected, code):
    registry = write_registry(tmp_path)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {PLAN} --registry {registry} {redirected}"],
        capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path), timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr


def test_an_answer_that_is_lost_is_said_to_be(tmp_path):
    registry = write_registry(tmp_path)
    done = subprocess.run(
        ["bash", "-c", f"{PLAN} --registry {registry} > /dev/full"],
        capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path), timeout=60,
    )  # fmt: skip
    assert "stdout: cannot be written ([Errno 28] No space left on device)" in done.stderr
