"""Cells in worker processes on the devices of this machine."""

import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from suite.console import shown
from suite.engine.attempt import failure
from suite.engine.devices import Device, devices_for
from suite.engine.executor import Outcome
from suite.engine.main_memory import kills_for_memory
from suite.engine.processes import PATIENCE_SECONDS, Guard, Worker, start_worker
from suite.engine.progress import Progress, describe
from suite.engine.settings import Settings
from suite.engine.worker import (
    Continued,
    Finished,
    Order,
    Preparing,
    Stepped,
    TakenOver,
    TrainingEnded,
    Unwritable,
)
from suite.errors import UserError
from suite.planning.cells import Cell, Job, Plan
from suite.registry import Registry
from suite.registry.schema import Store
from suite.results.claims import Claim
from suite.results.folder import SINGLES, work_folder
from suite.results.records import Result, Status

LOOK_SECONDS = 1.0
"""How often workers are looked at: one that is gone may have left a child that holds its pipe."""
SILENCE_SECONDS = 600.0
"""For how long a cell may say nothing before that is reported."""


def make(plan: Plan, registry: Registry, settings: Settings, progress: Progress) -> "LocalExecutor":
    """The executor for the devices that `settings` names."""
    return LocalExecutor(devices_for(plan, registry, settings), registry, settings, progress)


@dataclass
class _Running:
    """A cell that a worker computes, and those of its job that follow."""

    cell: Cell
    rest: tuple[Cell, ...]
    claim: Claim
    kept: bool
    """Whether the float32 delta of the training is there."""
    alone: bool
    """Whether nothing may run beside it."""
    killed: bool = False
    """Whether the cell is started once more because its process was killed."""
    beside: bool = False
    """Whether anything ran beside it."""
    trained: bool = False
    """Whether the training is over."""
    kills: int | None = None
    """How many processes the kernel had killed for memory when the cell began, if that is known."""
    deadline: float | None = None
    heard: float = field(default_factory=time.monotonic)
    """When the worker last said something."""
    reported: bool = False
    """Whether its silence was."""


@dataclass(eq=False)
class _Place:
    """A device with its workers."""

    device: Device
    workers: dict[Worker, _Running | None] = field(default_factory=dict)
    alone: deque[tuple[Job, Claim]] = field(default_factory=deque)
    """Jobs that ran out of memory beside others, and wait until nothing else runs."""

    @property
    def running(self) -> list[_Running]:
        return [each for each in self.workers.values() if each]

    def admits(self, job: Job) -> bool:
        running = self.running
        if self.alone or len(running) >= self.device.workers or any(r.alone for r in running):
            return False
        memory, idle = self.device.memory, len(self.workers) - len(running)
        cells = [each.cell for each in running]
        # An idle worker takes the job, and is then no longer idle.
        return memory is None or memory.admits(job.cells[0], cells, max(0, idle - 1))


class LocalExecutor:
    """A pool of worker processes for every device.

    A cell that raises, diverges, runs out of memory or time, or ends its process becomes a result
    with that status; the others go on. Before that is its result, one that ran out of memory beside
    others is tried again alone, and one whose process somebody has killed is tried once more.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        registry: Registry,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.places = [_Place(device) for device in devices]
        self.registry = registry
        self.settings = settings
        self.progress = progress
        self.guard = Guard()

    def has_room(self, job: Job) -> bool:
        """Whether a device has a worker to spare, and memory as far as that is known."""
        return any(place.admits(job) for place in self.places)

    def submit(self, job: Job, claim: Claim) -> None:
        """Start the job on the device with the least to do."""
        place = min((p for p in self.places if p.admits(job)), key=lambda p: len(p.running))
        self._start(place, job, claim)

    def receive(self, patience: float) -> list[Outcome]:
        """The cells that are over; waits until a worker says something."""
        for place in self.places:
            if place.alone and not place.running:
                # Idle workers keep what they have loaded.
                for worker in [*place.workers]:
                    self._remove(place, worker)
                self._start(place, *place.alone.popleft(), alone=True)
        busy = [
            (place, worker, running)
            for place in self.places
            for worker, running in place.workers.items()
            if running
        ]
        ends = [running.deadline - time.monotonic() for *_, running in busy if running.deadline]
        wait([worker.pipe for _, worker, _ in busy], max(0, min([patience, LOOK_SECONDS, *ends])))
        outcomes: list[Outcome] = []
        for place, worker, running in busy:
            outcomes += self._listen(place, worker, running)
        return outcomes

    def stop(self) -> None:
        """Let idle workers end, and end the busy ones."""
        everyone = [pair for place in self.places for pair in place.workers.items()]
        idle = [worker for worker, running in everyone if not running and worker.is_alive()]
        for worker in idle:
            worker.dismiss()
        for worker, _ in everyone:
            worker.end(patience=PATIENCE_SECONDS if worker in idle else 0.0)
        for place in self.places:
            place.workers.clear()
        self.guard.stop()

    def _start(
        self, place: _Place, job: Job, claim: Claim, alone: bool = False, killed: bool = False
    ) -> None:
        for worker, running in [*place.workers.items()]:
            if not running and not worker.is_alive():
                self._remove(place, worker)
        free = next((worker for worker, running in place.workers.items() if not running), None)
        if free is None:
            device = place.device
            free = start_worker(
                self.registry, self.settings, device.name, device.threads, self.guard
            )
        first, *rest = job.cells
        running = _Running(first, tuple(rest), claim, job.trained, alone, killed)
        place.workers[free] = running
        if len(place.running) > 1:
            for each in place.running:
                each.beside = True
        self._order(free, running, begins=True)

    def _order(self, worker: Worker, running: _Running, begins: bool) -> None:
        timeout = self.settings.timeout
        running.deadline = None if timeout is None else time.monotonic() + timeout
        running.heard, running.reported = time.monotonic(), False
        running.kills = kills_for_memory()
        more = bool(running.rest)
        worker.order(Order(running.cell, running.kept, more, running.claim, begins))
        self.progress.started(running.cell)

    def _listen(self, place: _Place, worker: Worker, running: _Running) -> list[Outcome]:
        # Looked at first: what a worker said before it ended counts.
        alive = worker.is_alive()
        try:
            while worker.pipe.poll():
                message = worker.pipe.recv()
                running.heard, running.reported = time.monotonic(), False
                match message:
                    case Preparing(what):
                        self.progress.preparing(running.cell, what)
                    case Continued(step):
                        self.progress.continued(running.cell, step)
                    case Stepped(step, steps):
                        self.progress.stepped(running.cell, step, steps)
                    case TrainingEnded():
                        running.trained = True
                    case Finished(result, trained, changed) if result.cell == running.cell.key:
                        running.trained = trained
                        place.workers[worker] = None
                        if changed or result.failed:
                            # No later cell shall meet what this one has left behind.
                            self._remove(place, worker)
                        if changed:
                            self.progress.note(
                                f"{describe(running.cell.key)}: it changed {changed}; the cells "
                                "after it run in a new process"
                            )
                        return self._over(place, worker, running, result)
                    case TakenOver(cell) if cell == running.cell.key:
                        self.progress.again(running.cell, "another run has taken it over")
                        return self._dropped(place, worker, running)
                    case Unwritable(reason):
                        raise UserError(
                            f"{reason}; what has finished is kept, and the same command continues"
                        )
        except (EOFError, ConnectionResetError):
            alive = False
        if not alive:
            return self._died(place, worker, running)
        if running.deadline and time.monotonic() >= running.deadline:
            reason = f"not finished after {self.settings.timeout:g} s"
            return self._ended(place, worker, running, "timeout", reason)
        self._report_silence(running)
        return []

    def _died(self, place: _Place, worker: Worker, running: _Running) -> list[Outcome]:
        """A worker's process has ended under its cell."""
        worker.process.join()
        code = worker.process.exitcode or 0
        if code != -signal.SIGKILL:
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            return self._ended(place, worker, running, "failed", f"its process ended {how}")
        # Each cell has a count of its own: one shortage may end several of them.
        if running.kills is None or running.kills != kills_for_memory():
            reason = "its process was killed (signal 9), most often because memory ran out"
            return self._ended(place, worker, running, "oom", reason)
        if running.killed:
            reason = "its process was killed twice (signal 9), and not by the kernel for memory"
            return self._ended(place, worker, running, "failed", reason)
        self._remove(place, worker)
        self.progress.again(running.cell, "its process was killed (signal 9), tried once more")
        job = Job((running.cell, *running.rest), running.kept)
        self._start(place, job, running.claim, running.alone, killed=True)
        return []

    def _ended(
        self, place: _Place, worker: Worker, running: _Running, status: Status, reason: str
    ) -> list[Outcome]:
        """A worker came to no end with its cell: it and all that it started are ended now."""
        self._remove(place, worker)
        if not running.claim.is_held():
            self.progress.again(running.cell, "another run has taken it over")
            return [Outcome(cell, None) for cell in (running.cell, *running.rest)]
        result = failure(running.cell, status, reason)
        if status != "oom":
            result.write(self.settings.out / SINGLES)
        return self._over(place, worker, running, result)

    def _over(
        self, place: _Place, worker: Worker, running: _Running, result: Result
    ) -> list[Outcome]:
        """What comes of the result of a cell, which is on disk unless it ran out of memory."""
        if result.status == "oom" and running.beside and not running.alone:
            self.progress.again(running.cell, "out of memory beside others, tried again alone")
            left = Job((running.cell, *running.rest), running.kept)
            place.alone.append((left, running.claim))
            return []
        if result.status == "oom":
            result.write(self.settings.out / SINGLES)
        if place.device.memory:
            place.device.memory.learn(result)
        running.kept |= result.status == "ok" and result.cell.store is Store.FLOAT32
        outcomes = [Outcome(running.cell, result)]
        is_last = self.settings.fail_fast and result.failed
        if is_last and running.trained:
            outcomes += [Outcome(cell, None) for cell in running.rest]
        elif not running.trained:
            outcomes += [self._failed_with(running, cell, result) for cell in running.rest]
        elif running.rest:
            rest = Job(running.rest, running.kept)
            if worker in place.workers:
                running.cell, *others = running.rest
                running.rest, running.killed = tuple(others), False
                place.workers[worker] = running
                self._order(worker, running, begins=False)
            else:
                self._start(place, rest, running.claim, running.alone)
        if is_last:
            outcomes += self._drop_rest()
        return outcomes

    def _failed_with(self, running: _Running, cell: Cell, result: Result) -> Outcome:
        """A cell of the same training, which has failed."""
        self.progress.started(cell)
        own = failure(cell, result.status, result.reason, log_of=running.cell)
        own.write(self.settings.out / SINGLES)
        return Outcome(cell, own)

    def _drop_rest(self) -> list[Outcome]:
        """Start nothing any more; the cells that would have been."""
        dropped: list[Cell] = []
        for place in self.places:
            dropped += [cell for job, _ in place.alone for cell in job.cells]
            place.alone.clear()
            for running in place.running:
                dropped += running.rest
                running.rest = ()
        return [Outcome(cell, None) for cell in dropped]

    def _dropped(self, place: _Place, worker: Worker, running: _Running) -> list[Outcome]:
        self._remove(place, worker)  # nothing is known of what the cell has left behind
        return [Outcome(cell, None) for cell in (running.cell, *running.rest)]

    def _remove(self, place: _Place, worker: Worker) -> None:
        worker.end()
        del place.workers[worker]

    def _report_silence(self, running: _Running) -> None:
        if running.reported or time.monotonic() - running.heard < SILENCE_SECONDS:
            return
        running.reported = True
        log = work_folder(self.settings.out, running.cell.key) / "log.txt"
        self.progress.note(
            f"{describe(running.cell.key)}: it has said nothing for {SILENCE_SECONDS / 60:.0f} "
            f"minutes (log: {shown(log)}); --timeout ends such cells"
        )
