"""The devices of this machine, and how many cells run on each at a time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.engine.gpu_memory import GpuMemory, measured_before
from suite.engine.main_memory import fitting
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Plan
from suite.registry import Registry

WORKERS_OF_A_GPU = 8
"""At most, unless `--jobs` says more: beyond that, cells only wait for each other."""


@dataclass(frozen=True)
class Device:
    """A device and the worker processes for it."""

    name: str
    """As PyTorch names it: `cpu`, `cuda:0`."""
    workers: int
    """At most."""
    threads: int
    """Of each worker."""
    memory: GpuMemory | None = None
    """What decides whether a cell may start beside others; None where as many as there are workers
    may."""


def resolve_device(wanted: str) -> str:
    """The one device to compute on: of several GPUs the first. Raises `UserError` for a GPU that
    was requested and is absent."""
    return resolve_devices(wanted)[0]


def resolve_devices(wanted: str) -> tuple[str, ...]:
    """The devices to run on: `auto` is every visible GPU if there is one, `cuda` every one.

    Raises `UserError` for a GPU that was requested and is absent.
    """
    if wanted == "cpu":
        return ("cpu",)
    if wanted == "auto" and not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
        return ("cpu",)  # without a driver there is no GPU, and torch takes seconds to say so
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted in ("auto", "cuda") and count:
        return tuple(f"cuda:{index}" for index in range(count))
    if wanted == "auto":
        return ("cpu",)
    if not count:
        raise UserError(f"--device {wanted}: this machine has no usable CUDA device; use cpu")
    names = tuple(wanted.split(","))
    if any(int(name.partition(":")[2]) >= count for name in names):
        last = f", the last is cuda:{count - 1}"
        raise UserError(f"--device {wanted}: there are {count} CUDA devices{last}")
    return names


def devices_for(plan: Plan, registry: Registry, settings: Settings) -> list[Device]:
    """The devices that a plan runs on. Raises `UserError` as `resolve_devices`."""
    names, trainings = resolve_devices(settings.device), len(plan.jobs())
    cores = usable_cores()
    one_core = plan.request.scale.one_core_per_cell
    if names != ("cpu",):
        most = settings.jobs or max(len(names), min(cores, WORKERS_OF_A_GPU * len(names)))
        each = spread(min(most, trainings), names)
        threads = 1 if one_core else max(1, cores // sum(each.values()))
        return [Device(name, n, threads, _gpu(name, n, plan, settings)) for name, n in each.items()]
    workers = settings.jobs
    if workers is None:
        # Two workers of one thread are faster than one of two (measured: 1.23 times).
        workers = cores if one_core else min(cores, fitting(plan, registry, settings.out))
    workers = max(1, min(workers, trainings))
    # One thread at mini scale, even for a single job: tensors are too small to gain from more, and
    # the order in which threads add up would make scores depend on the number of cores.
    return [Device("cpu", workers, 1 if one_core else max(1, cores // workers))]


def spread(workers: int, names: Sequence[str]) -> dict[str, int]:
    """As many workers on every device, the first ones having one more; none has no worker."""
    even, more = divmod(workers, len(names))
    each = {name: even + (place < more) for place, name in enumerate(names)}
    return {name: count for name, count in each.items() if count}


def usable_cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu(name: str, workers: int, plan: Plan, settings: Settings) -> GpuMemory | None:
    if workers == 1:
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(name)
    return GpuMemory(free, measured_before(plan, settings.out))
