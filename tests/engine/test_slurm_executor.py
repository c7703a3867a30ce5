"""Cells as an array of a real Slurm on this machine."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import slurm as real
from shell import environment
from toy import write_method, write_tasks

pytest.importorskip("submitit", reason="submitit is not installed: '.[slurm]'")
if real.missing():
    pytest.skip(real.missing(), allow_module_level=True)

from suite.engine.executors.slurm import Options
from suite.errors import UserError
from suite.results.packing import pack

# Who computed a cell: also said when the worker checks the method before its first training.
MARK = """
    def facts(self, model):
        with open(os.environ["MARK"], "a") as file:
            name = os.path.basename(os.path.dirname(os.readlink("/proc/self/fd/1")))
            file.write(f"{name} {os.environ['SLURM_ARRAY_TASK_ID']} {os.getpid()}\\n")
        return {}
"""


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    with real.running(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good", more=MARK)
    write_method(folder, "slow", more=MARK, penalty="time.sleep(0.7)")
    write_method(folder, "raises", adapt='raise ValueError("the moon is full")')
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


class Runs:
    def __init__(self, registry, cache, folder):
        self.out, self.mark = folder / "out", folder / "mark"
        self.environment = environment(cache) | {"MARK": str(self.mark)}
        self.registry = registry

    def start(self, *words, options="tasks=2", executor="slurm"):
        command = [sys.executable, "-m", "suite", "run", "--registry", str(self.registry)]
        command += ["-t", "colours", "--out", str(self.out), "--executor", executor]
        command += ["--executor-options", options] if options else []
        return subprocess.Popen(
            [*command, *words], env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def computed(self):
        lines = self.mark.read_text().splitlines() if self.mark.exists() else []
        return sorted({tuple(line.split()) for line in lines})

    def statuses(self):
        found = (self.out / "results").glob("*.json")
        return Counter(json.loads(path.read_text())["status"] for path in found)

    def left_over(self):
        return [path.name for path in (self.out / "results").iterdir() if path.suffix != ".json"]

    def logs(self):
        return "\n".join(p.read_text() for p in (self.out / "work" / "slurm").glob("*.out"))


@pytest.fixture
def runs(registry, cache, tmp_path):
    return Runs(registry, cache, tmp_path)


def end(process):
    out, said = process.communicate(timeout=400)
    return out, said


def wait_for(condition, seconds=200.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.1)


def test_an_array_computes_each_cell_once_and_the_command_shows_its_progress(runs):
    process = runs.start("-m", "slow,raises", "--seeds", "0-2")
    table, said = end(process)
    assert process.returncode == 1, said + runs.logs()
    assert runs.statuses() == {"ok": 6, "failed": 6}
    computed = runs.computed()
    assert set(Counter(name for name, *_ in computed).values()) == {1}
    assert len(computed) == 6 and {task for _, task, _ in computed} == {"0", "1"}, "both tasks work"
    assert "2 tasks (logs: " in said and "[12/12]" in said and "6 failed, " in said
    assert "slow" in table and (runs.out / "README.md").exists()
    assert runs.left_over() == []


def test_a_task_that_slurm_takes_away_continues_and_nothing_is_lost_or_done_twice(runs):
    """Once as at a time limit, with the signal that announces it, and once without warning."""
    process = runs.start("-m", "slow", "--seeds", "0-2")
    job = re.search(r"Slurm job (\d+)", _until(process, "Slurm job"))[1]
    wait_for(lambda: len(runs.computed()) >= 1)
    subprocess.run(["scancel", "--signal=USR2", f"{job}_0"], check=True)
    wait_for(lambda: len(runs.computed()) >= 3)
    subprocess.run(["scontrol", "requeue", f"{job}_1"], check=True)
    # Slurm waits for two minutes before it starts again what it has requeued.
    for task in (f"{job}_0", f"{job}_1"):
        wait_for(lambda task=task: "BeginTime" in _squeue(task))
        subprocess.run(["scontrol", "update", f"JobId={task}", "StartTime=now"], check=True)
    _, said = end(process)
    assert process.returncode == 0, said + runs.logs()
    assert runs.statuses() == {"ok": 6}
    assert "[6/6]" in said
    times = Counter(name for name, *_ in runs.computed())
    assert len(times) == 6 and sum(times.values()) <= 8, "at most what was taken away, anew"
    assert "Exiting gracefully after preemption" in runs.logs()
    assert runs.left_over() == []


def test_a_command_that_does_not_wait_leaves_the_array_behind(runs):
    process = runs.start("-m", "good", "--no-wait")
    _, said = end(process)
    assert process.returncode == 0 and "not waited for" in said
    wait_for(lambda: runs.statuses() == {"ok": 2})
    wait_for(lambda: runs.left_over() == [])


def test_results_that_somebody_packs_meanwhile_are_no_cells_left(runs):
    process = runs.start("-m", "slow,good", "--seeds", "0-2")

    def is_over():
        pack(runs.out)
        return process.poll() is not None

    wait_for(is_over)
    _, said = end(process)
    assert process.returncode == 0, said + runs.logs()
    assert "[12/12]" in said and "without a result" not in said


def test_ctrl_c_cancels_the_array(runs):
    process = runs.start("-m", "slow")
    job = re.search(r"Slurm job (\d+)", _until(process, "Slurm job"))[1]
    process.send_signal(signal.SIGINT)
    end(process)
    assert process.returncode == 130
    wait_for(lambda: not _squeue(job))


def test_what_slurm_refuses_is_said(runs):
    process = runs.start("-m", "good", options="partition=nowhere")
    _, said = end(process)
    assert process.returncode == 2
    assert "nothing was submitted" in said and "partition" in said


def _squeue(job):
    asked = ["squeue", "--noheader", "--jobs", job, "--format", "%i %r"]
    return subprocess.run(asked, capture_output=True, text=True).stdout


def _until(process, words):
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError("it has ended")


@pytest.mark.parametrize(
    ("text", "minutes"), [("90", 90), ("4:00:00", 240), ("2-01:00:30", 2 * 1440 + 61)]
)
def test_times_are_written_as_slurm_does(text, minutes):
    assert Options.of(f"time={text}").minutes() == minutes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partion=a", "did you mean 'partition'|partition"),
        ("gpus=two", "gpus: must be a whole number from 1"),
        ("time=4:00", "time: "),
        ("gpus=1,tasks=2", "exclude each other"),
    ],
)
def test_options_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        Options.of(text)


def test_options_are_those_of_an_executor_that_has_them(runs):
    process = runs.start("-m", "good", executor="local")
    assert "the executor 'local' has none" in end(process)[1]
    process = runs.start("-m", "good", "--no-wait", executor="local", options="")
    assert "--no-wait: the executor 'local'" in end(process)[1]
