"""Where and with what a cell runs: recorded with its result, never part of its identity."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from suite import __version__
from suite.results.records import Environment

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "timm", "triton", "numpy")


def describe(device: str, threads: int, execution: tuple[str, ...] = ()) -> Environment:
    """The environment of a cell that has just finished on `device` (`cpu`, `cuda:0`), which it used
    as `execution` says."""
    commit, dirty = revision()
    return Environment(
        device=device,
        hardware=_gpu(device) if device.startswith("cuda") else _cpu(),
        threads=threads,
        versions={"python": platform.python_version(), "suite": __version__} | _versions(),
        commit=commit,
        dirty=dirty,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        execution=execution,
    )


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


@cache
def _gpu(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device)


@cache
def revision() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout this package is imported from, if it is one."""
    if not (CHECKOUT / ".git").exists():
        return None, None
    try:
        # Results and pages that a run itself writes do not make the code dirty.
        status = git(CHECKOUT, "status", "--porcelain", "--", "suite", "methods", "tasks")
        return git(CHECKOUT, "rev-parse", "HEAD"), bool(status)
    except (OSError, subprocess.CalledProcessError):
        return None, None


def is_published(folder: Path) -> bool:
    """Whether git keeps files of a folder: what is written there is meant to be committed."""
    try:
        return folder.is_dir() and bool(git(folder, "ls-files", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return False


def git(folder: Path, *arguments: str) -> str:
    """The answer of a git command in a folder.

    Raises `OSError` without git, `subprocess.CalledProcessError` where it fails.
    """
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
