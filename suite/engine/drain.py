"""Run what there is to run of a plan, together with every other process that does the same."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suite.engine.executor import Executor, Outcome
from suite.engine.progress import Progress, describe
from suite.engine.settings import Settings
from suite.planning.cells import Cell, Job
from suite.registry.schema import Store
from suite.results.claims import Claim, Claims, Owner, folder_time
from suite.results.folder import SINGLES, Lookup, delta_path
from suite.results.history import Past
from suite.results.records import CellKey

LOOKAHEAD = 100
"""How many jobs are looked at for one that there is room for."""
PATIENCE_SECONDS = 1.0
"""How often cells that run elsewhere are looked at."""
REMIND_SECONDS = 60.0


@dataclass
class _Running:
    job: Job
    claim: Claim
    left: set[CellKey]


def drain(
    jobs: Iterable[Job],
    executor: Executor,
    claims: Claims,
    settings: Settings,
    progress: Progress,
    *,
    force: bool = False,
    since: float | None = None,
) -> None:
    """Run every job that no other process runs or has run, and wait for those that others run.

    `force`: results of before `since` do not count, nor do failures ever (default: this call).
    """
    _Drain(jobs, executor, claims, settings, progress, force, since).run()


class _Drain:
    def __init__(
        self,
        jobs: Iterable[Job],
        executor: Executor,
        claims: Claims,
        settings: Settings,
        progress: Progress,
        force: bool,
        since: float | None,
    ) -> None:
        self.waiting = deque(jobs)
        self.executor = executor
        self.claims = claims
        self.settings = settings
        self.progress = progress
        self.force = force
        self.known = Lookup(settings.out, Past)
        self.began = folder_time(settings.out / SINGLES) if since is None else since
        self.running: dict[CellKey, _Running] = {}
        self.elsewhere: dict[CellKey, tuple[Job, Owner]] = {}
        self.look_at = 0.0
        self.remind_at = 0.0

    def run(self) -> None:
        while self.waiting or self.running or self.elsewhere:
            self._look_elsewhere()
            more = self._hand_out()
            if self.running:
                for outcome in self.executor.receive(0.0 if more else PATIENCE_SECONDS):
                    self._over(outcome)
            elif not more and (self.waiting or self.elsewhere):
                # With cells left to start, there is no node to start them on at the moment.
                if not self.waiting:
                    self._say_what_is_waited_for()
                time.sleep(PATIENCE_SECONDS)

    def _hand_out(self) -> bool:
        """Start the first jobs that there is room for; whether to go on with that soon.

        Jobs that are done are only counted, and there may be very many of them: cells that run
        are listened to in between.
        """
        passed: list[Job] = []
        until = time.monotonic() + PATIENCE_SECONDS / 2
        while self.waiting and len(passed) < LOOKAHEAD and time.monotonic() < until:
            job = self.waiting.popleft()
            if self.executor.has_room(job):
                self._begin(job)
            else:
                passed.append(job)
        found_room = len(passed) < LOOKAHEAD and bool(self.waiting)
        self.waiting.extendleft(reversed(passed))
        return found_room

    def _look_elsewhere(self) -> None:
        """Notice what others have finished, and take over what they have left."""
        if time.monotonic() < self.look_at:
            return
        for key, (job, _) in [*self.elsewhere.items()]:
            if self.executor.has_room(job):
                del self.elsewhere[key]
                self._begin(job)
        self.look_at = time.monotonic() + PATIENCE_SECONDS

    def _begin(self, job: Job) -> None:
        """Claim a job and submit what is left of it, or note who has it."""
        left = self._left(job)
        if left is None:
            return
        key = _training(job)
        taken = self.claims.take(Path(key.file_name).stem)
        if isinstance(taken, Owner):
            self.elsewhere[key] = left, taken
            return
        # Again: an owner gives its claim up when the result is there.
        left = self._left(left)
        if left is None:
            self.claims.release(taken)
            return
        if taken.after:
            cell = describe(left.cells[0].key)
            self.progress.note(f"taken over from {taken.after}, which ended: {cell}")
        running = _Running(left, taken, {cell.key for cell in left.cells})
        self.running |= dict.fromkeys(running.left, running)
        self.executor.submit(left, taken)

    def _over(self, outcome: Outcome) -> None:
        running = self.running.pop(outcome.cell.key)
        running.left.remove(outcome.cell.key)
        failed = False
        if outcome.result:
            self.progress.finished(outcome.result)
            failed = outcome.result.failed
        if not running.left:
            self.claims.release(running.claim)
        if failed and self.settings.fail_fast:
            self.waiting.clear()
            self.elsewhere.clear()
        elif not outcome.result and not self.settings.fail_fast:
            # What another run has taken is looked at again, as if it had been there first.
            self.waiting.append(Job((outcome.cell,), running.job.trained))

    def _left(self, job: Job) -> Job | None:
        """What of a job has no result yet; the rest is counted."""
        left: list[Cell] = []
        trained = job.trained
        for cell in job.cells:
            if not self._is_done(cell):
                left.append(cell)
            elif cell.key.store is Store.FLOAT32:
                trained = delta_path(self.settings.out, cell.key).is_file()
        if len(left) < len(job.cells):
            self.progress.finished_elsewhere(len(job.cells) - len(left))
        return Job(tuple(left), trained) if left else None

    def _is_done(self, cell: Cell) -> bool:
        """Whether another process has computed the cell since the plan was made."""
        past = self.known.get(cell.key)
        if past is None or past.identity.digest != cell.identity.digest:
            return False
        if not past.failed and not self.force:
            return True
        try:
            status = (self.settings.out / SINGLES / cell.key.file_name).stat()
        except FileNotFoundError:
            return False
        return status.st_mtime > self.began

    def _say_what_is_waited_for(self) -> None:
        if time.monotonic() < self.remind_at:
            return
        self.remind_at = time.monotonic() + REMIND_SECONDS
        cells = sum(len(job.cells) for job, _ in self.elsewhere.values())
        shown = [
            f"{describe(job.cells[0].key)} ({owner})"
            for job, owner in [*self.elsewhere.values()][:3]
        ]
        more = ", ..." if len(self.elsewhere) > len(shown) else ""
        what = "a cell that another run computes" if cells == 1 else f"{cells} cells of other runs"
        self.progress.note(f"waiting for {what}: {', '.join(shown)}{more}")


def _training(job: Job) -> CellKey:
    """Names the training of a job, which is what processes claim: one serves all precisions."""
    return job.cells[0].key.stored_as(Store.FLOAT32)
