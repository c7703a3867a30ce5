"""How times are taken: interleaved, warm, medians with their spread."""

import csv
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

Step = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One measured quantity of one variant; `low` and `high` are its 20th and 80th percentile."""

    section: str
    case: str
    variant: str
    metric: str
    median: float
    low: float
    high: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Failed:
    """A variant that could not be measured, and why."""

    section: str
    case: str
    variant: str
    reason: str


def row(section: str, case: str, variant: str, metric: str, values: Sequence[float], unit: str):
    """The row of repeated measurements."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return Row(
        section,
        case,
        variant,
        metric,
        statistics.median(ordered),
        ordered[round(0.2 * last)],
        ordered[round(0.8 * last)],
        unit,
    )


def interleaved(variants: Mapping[str, Step], rounds: int, warmup: int) -> dict[str, list[float]]:
    """Milliseconds of every call; in each round all variants run, in turns forwards and backwards.

    On CUDA the time between two events around the call, launch gaps included.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants.items())
    for step in variants.values():
        for _ in range(warmup):
            step()
    for turn in range(rounds):
        for name, step in order if turn % 2 else order[::-1]:
            times[name].append(_milliseconds(step))
    return times


def cold(variants: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of device time of short functions, each with a cold cache."""
    if not torch.cuda.is_available():
        return interleaved(variants, rounds, 1)
    from triton.testing import do_bench

    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, step in variants.items():
            times[name] += do_bench(step, warmup=5, rep=30, return_mode="all")
    return times


def _milliseconds(step: Step) -> float:
    if not torch.cuda.is_available():
        started = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - started)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def launches(step: Step) -> tuple[int, float]:
    """(kernels launched by one call, milliseconds the device was busy with them)."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    step()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as record:
        step()
        torch.cuda.synchronize()
    # Copies are no kernels, and "Optimizer.step#..." is an annotation.
    kernels = [
        event
        for event in record.events()
        if event.device_type == DeviceType.CUDA
        and not event.name.startswith(("Memcpy", "Memset"))
        and "#" not in event.name
    ]
    return len(kernels), sum(event.time_range.elapsed_us() for event in kernels) / 1000


@dataclass(frozen=True)
class Captured:
    """A step as a CUDA graph; calling it replays the graph.

    A graph knows addresses alone: the step is kept so that what it reads and writes stays alive.
    """

    step: Step
    graph: torch.cuda.CUDAGraph

    def __call__(self) -> None:
        self.graph.replay()


def captured(step: Step, pool: object = None) -> Captured:
    """The step as a CUDA graph, in memory of its own or of a `pool`.

    The step must have run before, so that nothing is compiled or allocated for the first time.
    """
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        step()
    graph.replay()
    return Captured(step, graph)


def write_csv(path: Path, rows: Sequence[Row | Failed], header: Mapping[str, object]) -> None:
    """All rows; hardware and versions in columns of their own."""
    names = [field.name for field in fields(Row)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*names, *header])
        writer.writeheader()
        for one in rows:
            values = asdict(one)
            if isinstance(one, Failed):
                values["note"] = "not measured: " + values.pop("reason")
            writer.writerow({**values, **header})
