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
from suite.engine.worker import (
    Finished,
    Order,
    Preparing,
    Stepped,
    TrainingEnded,
    Unwritable,
    failure,
    work,
)
from suite.errors import UserError
from suite.planning.cells import Cell, Job, Plan
from suite.registry import Registry
from suite.registry.schema import Store
from suite.results.folder import SINGLES, read_results
from suite.results.records import Result, Status


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    cell: Cell | None = None
    """The running cell."""
    rest: tuple[Cell, ...] = ()
    """The cells of the same job that follow."""
    trained: bool = False
    """Whether their training is over."""
    kept: bool = False
    """Whether the float32 delta of it is there."""
    deadline: float | None = None


def run(plan: Plan, registry: Registry, settings: Settings, progress: Progress) -> list[Result]:
    """Run every cell whose action is `run`; record the unsupported ones. Cells that differ only in
    `store` are trained once.

    Returns the results of this call in the order they came. A cell that raises, diverges, runs
    out of memory or time, or ends its process becomes a result with that status; the others
    go on. KeyboardInterrupt stops the workers and is passed on; finished cells keep their results.
    """
    device = resolve_device(settings.device)
    jobs = deque(plan.jobs())
    results: list[Result] = []
    for planned in plan.with_action("unsupported"):
        results.append(_record(planned.cell, "unsupported", planned.reason, settings))
    if not jobs:
        return results
    workers, threads = _share_cores(plan, len(jobs), device, settings.jobs)
    shared = _gpu_memory(device, settings.out) if workers > 1 and device != "cpu" else None
    pool = [_start(registry, settings, device, threads) for _ in range(workers)]
    try:
        _hand_out(pool, jobs, shared, settings, progress)
        while any(worker.cell for worker in pool):
            for worker, result in _next_results(pool, settings, progress):
                results.append(result)
                progress.finished(result)
                if shared:
                    shared.learn(result)
                if settings.fail_fast and result.status not in ("ok", "unsupported"):
                    jobs.clear()
                    for each in pool:
                        each.rest = ()
                worker.cell = None
            for place, worker in enumerate(pool):
                # A lost or timed-out cell took its process with it; one at rest lives on.
                if not worker.cell and not worker.process.is_alive():
                    if worker.rest:
                        jobs.appendleft(Job(worker.rest, worker.kept))
                        worker.rest = ()
                    if jobs:
                        pool[place] = _start(registry, settings, device, threads)
            _hand_out(pool, jobs, shared, settings, progress)
    finally:
        for worker in pool:
            _stop(worker)
    return results


def resolve_device(wanted: str) -> str:
    """The device to run on: `auto` is the GPU if there is one. Raises `UserError` for a GPU that
    was requested and is absent."""
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
    # One thread at mini scale, even for a single job: tensors are too small to gain from more, and
    # the order in which threads add up would make scores depend on the number of cores.
    return jobs, 1 if alone else max(1, cores // jobs)


def _start(registry: Registry, settings: Settings, device: str, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(
        target=work,
        args=(theirs, registry, settings.out, device, threads, settings.offline),
        daemon=True,
    )
    # A terminal sends Ctrl-C to every process of the group. Until `work` ignores it, a starting
    # interpreter would print a traceback. A child inherits the signal mask of the thread that
    # starts it, so SIGINT is blocked here around `start` alone; what arrives meanwhile stays
    # pending and is delivered to this process once the mask is restored.
    # Starting the resource tracker unblocks SIGINT, so it must already run by then.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # A spawned process imports the parent's main script again, so that it can unpickle what the
    # script defines. No cell needs that, and a script without a `__main__` guard would start this
    # run anew in every worker: during `start` the main module is an empty one.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # With this copy closed, the worker holds the only one: its death is the end of the pipe here.
    theirs.close()
    return _Worker(process, pipe)


def _gpu_memory(device: str, out: Path) -> GpuMemory:
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return GpuMemory(free, read_results(out).values())


def _hand_out(
    pool: list[_Worker],
    jobs: deque[Job],
    shared: GpuMemory | None,
    settings: Settings,
    progress: Progress,
) -> None:
    """Give every idle worker its job's next cell, or the first job that there is memory for."""
    for worker in sorted(pool, key=lambda each: not each.rest):
        if worker.cell:
            continue
        if not worker.rest:
            running = [other.cell for other in pool if other.cell]
            fitting = (j for j in jobs if not shared or shared.admits(j.cells[0], running))
            if (job := next(fitting, None)) is None:
                continue
            jobs.remove(job)
            worker.rest, worker.trained, worker.kept = job.cells, False, job.trained
        worker.cell, *rest = worker.rest
        worker.rest = tuple(rest)
        worker.deadline = settings.timeout and time.monotonic() + settings.timeout
        # A worker that is already dead is noticed when its pipe is read, as one that dies later.
        with contextlib.suppress(BrokenPipeError):
            worker.pipe.send(Order(worker.cell, worker.kept, more=bool(rest)))
        progress.started(worker.cell)


def _next_results(
    pool: list[_Worker], settings: Settings, progress: Progress
) -> list[tuple[_Worker, Result]]:
    """Wait until cells finish, die or run out of time; steps are passed to the display."""
    busy = [worker for worker in pool if worker.cell]
    deadlines = [worker.deadline for worker in busy if worker.deadline]
    patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
    ready = wait([worker.pipe for worker in busy], patience)
    finished: list[tuple[_Worker, Result]] = []
    for worker in busy:
        assert worker.cell is not None
        if worker.pipe in ready:
            try:
                # Before the deadline is looked at: a result that has come in time counts.
                message = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                own = _lost(worker, settings)
                finished += _with_rest(worker, own, settings, progress)
                continue
            match message:
                case Preparing(what):
                    progress.preparing(worker.cell, what)
                case Stepped(step, steps):
                    progress.stepped(worker.cell, step, steps)
                case TrainingEnded():
                    worker.trained = True
                case Finished(result, trained):
                    worker.trained = trained
                    worker.kept |= result.status == "ok" and result.cell.store is Store.FLOAT32
                    finished += _with_rest(worker, result, settings, progress)
                case Unwritable(reason):
                    raise UserError(
                        f"{reason}; what has finished is kept, and the same command continues"
                    )
        elif worker.deadline and time.monotonic() >= worker.deadline:
            _stop(worker)
            reason = f"not finished after {settings.timeout:g} s"
            own = _record(worker.cell, "timeout", reason, settings)
            finished += _with_rest(worker, own, settings, progress)
    return finished


def _with_rest(
    worker: _Worker, own: Result, settings: Settings, progress: Progress
) -> list[tuple[_Worker, Result]]:
    """The result of the running cell, and those of the job's others if its training failed."""
    results = [own]
    if not worker.trained:
        for cell in worker.rest:
            progress.started(cell)
            results.append(_record(cell, own.status, own.reason, settings, worker.cell))
        worker.rest = ()
    return [(worker, result) for result in results]


def _lost(worker: _Worker, settings: Settings) -> Result:
    """The result of a cell whose process died under it."""
    worker.process.join()
    code = worker.process.exitcode or 0
    assert worker.cell is not None
    # The kernel's out-of-memory killer leaves no other trace than its signal.
    if code == -9:
        reason = "its process was killed (signal 9), most often because memory ran out"
        return _record(worker.cell, "oom", reason, settings)
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return _record(worker.cell, "failed", f"its process ended {how}", settings)


def _record(
    cell: Cell, status: Status, reason: str, settings: Settings, log_of: Cell | None = None
) -> Result:
    result = failure(cell, status, reason, log_of)
    result.write(settings.out / SINGLES)
    return result


def _stop(worker: _Worker) -> None:
    """End a worker: kill it if it is busy, otherwise tell it that there are no more cells."""
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
