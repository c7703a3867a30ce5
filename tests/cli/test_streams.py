"""Streams that are closed, full or broken: what is asked for is done, and the exit code says so."""

import subprocess
import sys

import pytest
from registries import write_registry
from shell import environment

PLAN = f"{sys.executable} -m suite plan -m one -t toy"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A registry; what is planned in it is remembered from test to test."""
    return write_registry(tmp_path_factory.mktemp("registry"))


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
def test_nobody_need_listen(place, redirected, code):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {PLAN} --registry {place} {redirected}"],
        capture_output=True, text=True, cwd=place, env=environment(place / "cache"), timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr


def test_an_answer_that_is_lost_is_said_to_be(place):
    done = subprocess.run(
        ["bash", "-c", f"{PLAN} --registry {place} > /dev/full"],
        capture_output=True, text=True, cwd=place, env=environment(place / "cache"), timeout=60,
    )  # fmt: skip
    assert "stdout: cannot be written ([Errno 28] No space left on device)" in done.stderr
