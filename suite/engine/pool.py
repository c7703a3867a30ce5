"""Execute a plan: cells in worker processes, one result file each as they finish."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import ModuleType

from suite.engine.gpu_memory import GpuMemory
from suite.engine.progress import Progress
from suite.engine.settings import Settings
from suite.engine.worker import Finished, Stepped, Unwritable, failure, work
from suite.errors import UserError
from suite.planning.cells import Cell, Plan
from suite.registry import Registry
from suite.results.folder import SINGLES, read_results
from suite.results.records import Result, Status


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    cell: Cell | None = None
    deadline: float | None = None


def run(plan: Plan, registry: Registry, settings: Settings, progress: Progress) -> list[Result]:
    """Run every cell whose action is `run`; record the unsupported ones.

    Returns the results of this call in the order they came. A cell that raises, diverges, runs
    out of memory or time, or takes its process down becomes a result with that status; the others
    go on. KeyboardInterrupt stops the workers and is passed on; what is finished stays finished.
    """
    device = resolve_device(settings.device)
    cells = deque(planned.cell for planned in plan.with_action("run"))
    results: list[Result] = []
    for planned in plan.with_action("unsupported"):
        results.append(_record(planned.cell, "unsupported", planned.reason, settings))
    if not cells:
        return results
    jobs, threads = _share_cores(plan, len(cells), device, settings.jobs)
    shared = _gpu_memory(device, settings.out) if jobs > 1 and device != "cpu" else None
    pool = [_start(registry, settings, device, threads) for _ in range(jobs)]
    try:
        _hand_out(pool, cells, shared, settings, progress)
        while any(worker.cell for worker in pool):
            finished = _next_results(pool, settings, progress)
            for worker, result in finished:
                results.append(result)
                progress.finished(result)
                worker.cell = None
                if shared:
                    shared.learn(result)
                if settings.fail_fast and result.status not in ("ok", "unsupported"):
                    cells.clear()
                if not worker.process.is_alive() and cells:
                    pool[pool.index(worker)] = _start(registry, settings, device, threads)
            _hand_out(pool, cells, shared, settings, progress)
    finally:
        for worker in pool:
            _stop(worker)
    return results


def resolve_device(wanted: str) -> str:
    """`auto` is the GPU where there is one; a GPU that is asked for and absent is an error."""
    if wanted == "cpu":
        return "cpu"
    if wanted == "auto" and not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
        return "cpu"  # without a driver there is no GPU, and torch takes seconds to say so
    import torch

    available = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda:0" if available else "cpu"
    if not available:
        raise UserError(f"--device {wanted}: this machine has no usable CUDA device; use cpu")
    index = int(wanted.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise UserError(f"--device {wanted}: there are {torch.cuda.device_count()} CUDA devices")
    return f"cuda:{index}"


def _share_cores(plan: Plan, cells: int, device: str, jobs: int | None) -> tuple[int, int]:
    """(worker processes, threads of each)."""
    alone = plan.request.scale.one_core_per_cell
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if jobs is None:
        jobs = cores if alone and device == "cpu" else 1
    jobs = max(1, min(jobs, cells))
    return jobs, 1 if alone else max(1, cores // jobs)


def _start(registry: Registry, settings: Settings, device: str, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(
        target=work,
        args=(theirs, registry, settings.out, device, threads, settings.offline),
        daemon=True,
    )
    # The tracker of multiprocessing, where it has to start first, would lift the block below.
    resource_tracker.ensure_running()
    # A new interpreter would answer Ctrl-C with a traceback until `work` runs: it inherits a mask.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # It would also run the caller's script again, in search of what the script defines.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()
    return _Worker(process, pipe)


def _gpu_memory(device: str, out: Path) -> GpuMemory:
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return GpuMemory(free, read_results(out).values())


def _hand_out(
    pool: list[_Worker],
    cells: deque[Cell],
    shared: GpuMemory | None,
    settings: Settings,
    progress: Progress,
) -> None:
    """Give every idle worker the first cell that there is memory for."""
    for worker in pool:
        if worker.cell:
            continue
        running = [other.cell for other in pool if other.cell]
        fitting = (cell for cell in cells if not shared or shared.admits(cell, running))
        if (cell := next(fitting, None)) is None:
            continue
        cells.remove(cell)
        worker.cell = cell
        worker.deadline = settings.timeout and time.monotonic() + settings.timeout
        # A worker that has died already is noticed at its pipe, as one that dies later is.
        with contextlib.suppress(BrokenPipeError):
            worker.pipe.send(cell)
        progress.started(cell)


def _next_results(
    pool: list[_Worker], settings: Settings, progress: Progress
) -> list[tuple[_Worker, Result]]:
    """Wait until cells finish, die or run out of time; steps are passed to the display."""
    busy = [worker for worker in pool if worker.cell]
    deadlines = [worker.deadline for worker in busy if worker.deadline]
    patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
    ready = wait([worker.pipe for worker in busy], patience)
    finished = []
    for worker in busy:
        assert worker.cell is not None
        if worker.pipe in ready:
            try:
                message = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                finished.append((worker, _lost(worker, settings)))
                continue
            match message:
                case Stepped(step, steps):
                    progress.stepped(worker.cell, step, steps)
                case Finished(result):
                    finished.append((worker, result))
                case Unwritable(reason):
                    raise UserError(
                        f"{reason}; what has finished is kept, and the same command continues"
                    )
        elif worker.deadline and time.monotonic() >= worker.deadline:
            _stop(worker)
            reason = f"not finished after {settings.timeout:g} s"
            finished.append((worker, _record(worker.cell, "timeout", reason, settings)))
    return finished


def _lost(worker: _Worker, settings: Settings) -> Result:
    """The result of a cell whose process died under it."""
    worker.process.join()
    code = worker.process.exitcode or 0
    assert worker.cell is not None
    if code == -9:
        reason = "its process was killed (signal 9), most often because memory ran out"
        return _record(worker.cell, "oom", reason, settings)
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return _record(worker.cell, "failed", f"its process ended {how}", settings)


def _record(cell: Cell, status: Status, reason: str, settings: Settings) -> Result:
    result = failure(cell, status, reason)
    result.write(settings.out / SINGLES)
    return result


def _stop(worker: _Worker) -> None:
    """End a worker: at once if it is busy, else by telling it that there is no more."""
    if worker.process.is_alive() and worker.cell is None:
        try:
            worker.pipe.send(None)
            worker.process.join(5)
        except (BrokenPipeError, OSError):
            pass
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.pipe.close()
