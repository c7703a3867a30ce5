"""Cells on a Slurm cluster, whose nodes share the folder of results.

One array task is one device: it runs the plan as every other run on the folder does, on claims. So
a task that ends early loses the cells that it is at, and the others take those over.
"""

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import submitit

from suite.console import shown
from suite.engine.execution import execute
from suite.engine.progress import Progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Plan
from suite.planning.limits import positive
from suite.planning.output import planned, results_folder
from suite.planning.request import Request
from suite.registry import Registry
from suite.registry.names import did_you_mean
from suite.results.claims import folder_time
from suite.results.folder import WORK, Lookup
from suite.results.records import Result

LOOK_SECONDS = 2.0
"""How often results are looked for, at most."""
REQUEUES = 100
"""How often a task may come to its time limit and continue. Preemptions do not count."""
WHERE = "--executor-options: "


@dataclass(frozen=True)
class Options:
    """What is asked of Slurm, `partition=a100,time=4:00:00,gpus=8`."""

    partition: str = ""
    time: str = "24:00:00"
    """Of a task: minutes, or [days-]hours:minutes:seconds. A task that comes to it continues."""
    gpus: int = 0
    """An array of so many tasks, each with one GPU."""
    tasks: int = 1
    """Without GPUs: an array of so many tasks on processor cores."""
    cpus: int = 1
    """Cores of a task."""
    memory: str = ""
    """Of a task, as Slurm writes it: `16G`."""
    account: str = ""
    qos: str = ""

    @classmethod
    def of(cls, text: str) -> "Options":
        """Raises `UserError` for an unknown key and a bad value."""
        values: dict[str, Any] = {}
        known = {each.name: each.type for each in fields(cls)}
        for pair in filter(None, text.split(",")):
            key, equals, value = pair.partition("=")
            if key not in known or not equals or not value:
                near = did_you_mean(key, known)
                names = ", ".join(known)
                raise UserError(f"{WHERE}'{pair}' is no KEY=VALUE{near}; keys are {names}")
            values[key] = positive(value, f"{WHERE}{key}: ") if known[key] is int else value
        if "gpus" in values and "tasks" in values:
            raise UserError(f"{WHERE}gpus and tasks exclude each other: a task has one GPU")
        made = cls(**values)
        made.minutes()
        return made

    def minutes(self) -> int:
        """The time limit. Raises `UserError` if it is not written as Slurm does."""
        days, _, clock = self.time.rpartition("-")
        parts = clock.split(":")
        if len(parts) not in (1, 3) or (days and len(parts) != 3):
            raise UserError(f"{WHERE}time: minutes or [days-]hours:minutes:seconds: '{self.time}'")
        numbers = [self._number(part) for part in (days or "0", *parts)]
        if len(parts) == 1:
            return max(1, numbers[1])
        return max(1, numbers[0] * 1440 + numbers[1] * 60 + numbers[2] + (numbers[3] > 0))

    def _number(self, text: str) -> int:
        if not text.isdecimal():
            raise UserError(f"{WHERE}time: '{self.time}' is no time such as 4:00:00")
        return int(text)

    def parameters(self) -> Mapping[str, object]:
        """In submitit's words."""
        given = {
            "partition": self.partition,
            "mem": self.memory,
            "account": self.account,
            "qos": self.qos,
            "gpus_per_node": 1 if self.gpus else None,
        }
        return {name: value for name, value in given.items() if value} | {
            "time": self.minutes(),
            "cpus_per_task": self.cpus,
            "job_name": "suite",
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True},
        }


@dataclass(frozen=True)
class Task:
    """What one task of the array does."""

    request: Request
    registry: Registry
    settings: Settings
    since: float
    """When the array was submitted: results from then on count for all of its tasks."""

    def __call__(self) -> None:
        """Run the plan with whoever else does."""
        made = planned(self.request, self.registry, self.settings.out)
        execute(made, self.registry, self.settings, since=self.since)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """What continues after a time limit or a preemption: the same, as every result is kept."""
        return submitit.helpers.DelayedSubmission(self)


def delegate(plan: Plan, registry: Registry, settings: Settings, progress: Progress) -> None:
    """Submit the plan, and wait for its results if `settings` says so. Ctrl-C cancels the array.

    Raises `UserError` for options that are none, and if Slurm refuses them or is not there.
    """
    options = Options.of(settings.executor_options)
    since = folder_time(results_folder(settings.out))
    of_task = Settings(
        settings.out,
        device="cuda" if options.gpus else "cpu",
        jobs=settings.jobs or (None if options.gpus else options.cpus),
        timeout=settings.timeout,
        fail_fast=settings.fail_fast,
        allow_dirty=settings.allow_dirty,
        offline=settings.offline,
    )
    count = min(options.gpus or options.tasks, len(plan.jobs()))
    logs = settings.out / WORK / "slurm"
    array = _submit(Task(plan.request, registry, of_task, since), count, logs, options)
    progress.note(f"Slurm job {array}: {count} tasks (logs: {shown(logs)}/{array}*.out)")
    if not settings.wait:
        progress.note("not waited for: `plan` shows how far it is, `leaderboard` writes its pages")
        return
    try:
        _wait(plan, array, settings, progress, since)
    except BaseException:
        subprocess.run(["scancel", array], check=False)
        raise


def _submit(task: Task, count: int, logs: Path, options: Options) -> str:
    """The number of the job."""
    try:
        executor = submitit.SlurmExecutor(folder=logs, max_num_timeout=REQUEUES)
        executor.update_parameters(**options.parameters())
        with executor.batch():
            jobs = [executor.submit(task) for _ in range(count)]
        return str(jobs[0].job_id).partition("_")[0]
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--executor slurm: nothing was submitted ({reason})") from None


def _wait(plan: Plan, array: str, settings: Settings, progress: Progress, since: float) -> None:
    """Until every cell has a result, or no task is left to compute one."""
    left = {item.cell.key: item.cell for item in plan.with_action("run")}
    lookup, folder = Lookup(settings.out, Result), results_folder(settings.out)
    queued = True
    while left and queued:
        began = time.monotonic()
        # Asked first: what a task has written before it left the queue counts.
        queued = _is_queued(array, progress)
        for key, cell in [*left.items()]:
            try:
                new = (folder / key.file_name).stat().st_mtime > since
                good = new
            except FileNotFoundError:
                # There is none yet, or somebody has packed it. A pack keeps no times of files: it
                # may hold the failure, or with `--force` the result, that is to be replaced.
                new, good = not plan.request.force, False
            result = lookup.get(key) if new else None
            if result is None or result.identity.digest != cell.identity.digest:
                continue
            if not good and result.failed:
                continue
            del left[key]
            progress.finished(result)
            if settings.fail_fast and result.failed:
                subprocess.run(["scancel", array], check=False)
                return
        if left and queued:
            # Looking for very many results takes a small part of the time at most.
            time.sleep(max(LOOK_SECONDS, 10 * (time.monotonic() - began)))
    if left:
        progress.note(f"Slurm job {array} is over and has left {len(left)} cells without a result")


def _is_queued(array: str, progress: Progress) -> bool:
    """Whether a task of the job waits or runs."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--jobs", array, "--format", "%i"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        return bool(asked.stdout.strip())
    if "Invalid job id" in asked.stderr:
        return False
    progress.note(f"squeue: {asked.stderr.strip()}")  # the controller may answer the next time
    return True
