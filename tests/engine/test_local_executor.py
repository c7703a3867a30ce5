"""The pool of this machine: devices, memory, and workers that end with all that they started."""

import signal
from pathlib import Path

import pytest
from shell import wait_for
from toy import COUNTED, trainings, write_method, write_tasks

from suite.engine import devices, main_memory
from suite.engine.devices import Device, resolve_devices, spread
from suite.engine.executors import local
from suite.engine.executors.local import LocalExecutor
from suite.engine.progress import QuietProgress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.plan import Request, plan
from suite.registry import load
from suite.registry.schema import Store
from suite.results.claims import Claims
from suite.results.records import Result

MARK = """
        import pathlib, subprocess
        mark = pathlib.Path(os.environ["MARK"])
"""
# Fails as long as another cell is busy, and says what was busy when it was tried again.
HUNGRY = """
        if not (mark / "tried").exists():
            deadline = time.monotonic() + 60
            while not (mark / "busy").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            (mark / "tried").touch()
            raise MemoryError("too much")
        (mark / "again").write_text("beside" if (mark / "busy").exists() else "alone")
"""
BUSY = """
        (mark / "busy").touch()
        deadline = time.monotonic() + 60
        while not (mark / "tried").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(3)
        (mark / "busy").unlink()
"""
ALWAYS = """
        raise MemoryError("too much")
"""
KILLED = """
        if not (mark / "killed").exists():
            (mark / "killed").touch()
            os.kill(os.getpid(), 9)
"""
FORKS = """
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(7)
"""
COPIES = """
        if not (mark / "copied").exists():
            (mark / "copied").touch()
            os.fork()
"""
ROBBED = """
        [each.unlink() for each in (mark.parent / "results").glob("*.claim")]
        os._exit(7)
"""
HOLDS = """
        child = subprocess.Popen(["sleep", "1000"])
        (mark / "pids").write_text(f"{os.getpid()} {child.pid}")
        9 ** 9 ** 9
"""

ONCE = """
        if os.path.exists(os.environ["TRAINED"]):
            raise RuntimeError("not a second time")
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good")
    for name, adapt in {
        "hungry": HUNGRY, "busy": BUSY, "always": ALWAYS, "killed": KILLED,
        "killed_too": KILLED.replace('"killed"', '"killed_too"'), "forks": FORKS,
        "copies": COPIES, "holds": HOLDS, "robbed": ROBBED,
    }.items():  # fmt: skip
        write_method(folder, name, adapt=(MARK + adapt).strip())
    write_method(folder, "twice", adapt=(MARK + ONCE).strip(), more=COUNTED)
    return folder


@pytest.fixture
def mark(tmp_path, monkeypatch, forked):
    folder = tmp_path / "mark"
    folder.mkdir()
    monkeypatch.setenv("MARK", str(folder))
    monkeypatch.setenv("TRAINED", str(folder / "trained"))
    return folder


class Notes(QuietProgress):
    def __init__(self):
        super().__init__(0)
        self.said = []

    def note(self, text):
        self.said.append(text)


def run(registry, out, methods, places, asked=None, **values):
    """The results of the methods on one task, (method, status, reason) by name, and what was
    said."""
    known = load(registry)
    jobs = [*plan(Request(methods, ("reds",), **(asked or {})), known).jobs()]
    (out / "results").mkdir(parents=True)
    notes, results, running = Notes(), [], 0
    settings = Settings(out, "cpu", **values)
    with Claims(out / "results") as claims:
        executor = LocalExecutor(places, known, settings, notes)
        try:
            while jobs or running:
                while jobs and executor.has_room(jobs[0]):
                    job = jobs.pop(0)
                    executor.submit(job, claims.take(job.cells[0].key.label))
                    running += len(job.cells)
                for outcome in executor.receive(1.0):
                    results += [outcome.result] if outcome.result else []
                    running -= 1
        finally:
            executor.stop()
    return sorted((r.cell.method, r.status, r.reason) for r in results), notes.said


def test_a_cell_that_runs_out_of_memory_beside_another_is_tried_again_alone(
    registry, tmp_path, mark
):
    results, said = run(registry, tmp_path, ("hungry", "busy"), [Device("cpu", 2, 1)])
    assert results == [("busy", "ok", ""), ("hungry", "ok", "")]
    assert (mark / "again").read_text() == "alone"
    assert len(said) == 1 and "tried again alone" in said[0]


def test_out_of_memory_alone_is_a_result(registry, tmp_path, mark):
    results, said = run(registry, tmp_path, ("always",), [Device("cpu", 2, 1)])
    assert results == [("always", "oom", "MemoryError: too much")]
    assert said == []
    (path,) = (tmp_path / "results").glob("*.json")
    assert Result.model_validate_json(path.read_text()).status == "oom"


def test_a_cell_whose_process_is_killed_is_tried_once_more(registry, tmp_path, mark):
    results, said = run(registry, tmp_path, ("killed",), [Device("cpu", 2, 1)])
    assert results == [("killed", "ok", "")]
    assert len(said) == 1 and "killed (signal 9), tried once more" in said[0]


def test_a_process_that_the_kernel_ended_for_memory_is_out_of_memory(
    registry, tmp_path, mark, monkeypatch
):
    counts = iter(range(9))
    monkeypatch.setattr(local, "kills_for_memory", lambda: next(counts))
    ((method, status, reason),), _ = run(registry, tmp_path, ("killed",), [Device("cpu", 2, 1)])
    assert (method, status) == ("killed", "oom")
    assert "memory ran out" in reason


def test_one_shortage_of_memory_may_end_several_cells(registry, tmp_path, mark, monkeypatch):
    names = ("killed", "killed_too")
    count = lambda: int(any((mark / name).exists() for name in names))  # noqa: E731
    monkeypatch.setattr(local, "kills_for_memory", count)
    results, said = run(registry, tmp_path, names, [Device("cpu", 2, 1)])
    assert results == [(name, "ok", "") for name in names]
    assert len(said) == 2 and all("out of memory beside others" in line for line in said)


def test_every_device_has_workers_of_its_own(registry, tmp_path, mark, monkeypatch):
    """The cells of both are computed on the processor, by one thread."""
    started = []
    start = local.start_worker

    def recorded(known, settings, device, threads, guard):
        started.append((device, threads))
        return start(known, settings, "cpu", 1, guard)

    monkeypatch.setattr(local, "start_worker", recorded)
    places = [Device("cuda:0", 1, 1), Device("cuda:1", 1, 2)]
    results, _ = run(registry, tmp_path, ("good", "copies"), places)
    assert results == [("copies", "ok", ""), ("good", "ok", "")]
    assert sorted(started) == [("cuda:0", 1), ("cuda:1", 2)]


def test_a_copy_of_a_worker_answers_for_no_cell(registry, tmp_path, mark):
    results, _ = run(registry, tmp_path, ("copies", "good"), [Device("cpu", 1, 1)])
    assert results == [("copies", "ok", ""), ("good", "ok", "")]


def test_the_death_of_a_worker_is_seen_although_its_child_lives(
    registry, tmp_path, mark, monkeypatch
):
    monkeypatch.setattr(local, "SILENCE_SECONDS", 0.0)
    results, said = run(registry, tmp_path, ("forks",), [Device("cpu", 1, 1)])
    assert results == [("forks", "failed", "its process ended with exit code 7")]
    assert "--timeout ends such cells" in said[0], "silence is reported"


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["kill", pytest.param("timeout", marks=pytest.mark.nightly)])
def test_a_worker_ends_with_all_it_started_though_it_keeps_the_interpreter(
    registry, tmp_path, mark, start, how
):
    words = ["run", "--registry", registry, "-m", "holds", "-t", "reds", "--out", tmp_path / "out"]
    limit = ["--timeout", "30"] if how == "timeout" else []
    command = start(*words, "-q", "--device", "cpu", *limit)
    pids = mark / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    started = pids.read_text().split()
    assert all(map(is_alive, started))
    if how == "kill":
        command.send_signal(signal.SIGKILL)
        command.end()
    wait_for(lambda: not any(map(is_alive, started)))
    command.end()


def test_workers_are_spread_over_devices():
    assert spread(5, ["cuda:0", "cuda:1", "cuda:2"]) == {"cuda:0": 2, "cuda:1": 2, "cuda:2": 1}
    assert spread(1, ["cuda:0", "cuda:1"]) == {"cuda:0": 1}


def test_every_visible_gpu_is_used_unless_some_are_named(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert resolve_devices("auto") == ("cuda:0", "cuda:1", "cuda:2")
    assert resolve_devices("cuda") == ("cuda:0", "cuda:1", "cuda:2")
    assert resolve_devices("cuda:2,cuda:0") == ("cuda:2", "cuda:0")
    assert devices.resolve_device("cuda") == "cuda:0"
    with pytest.raises(UserError, match="there are 3 CUDA devices, the last is cuda:2"):
        resolve_devices("cuda:1,cuda:3")


@pytest.mark.parametrize("words", ["cuda:0,cpu", "cuda:0,cuda:0", "cuda:0,", "cuda,cuda:1"])
def test_a_list_of_devices_that_makes_no_sense_is_refused(tmp_path, words):
    with pytest.raises(UserError, match="--device: "):
        Settings(tmp_path, words)


def test_free_memory_is_that_of_the_container(tmp_path):
    assert main_memory.free_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  4096 kB\n")
    assert main_memory.free_bytes(tmp_path) == 4 * 2**20
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("2000000\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    assert main_memory.free_bytes(tmp_path) == 4 * 2**20
    (group / "memory.max").write_text("3000000\n")
    assert main_memory.free_bytes(tmp_path) == 1_500_000


def test_the_kernel_says_how_often_it_killed_for_memory(tmp_path):
    assert main_memory.kills_for_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 3\noom_killer 7\n")
    assert main_memory.kills_for_memory(tmp_path) == 3


def test_a_folder_of_results_is_resolved_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings(Path("runs"))
    monkeypatch.chdir("/")
    assert settings.out == tmp_path / "runs"


def test_nothing_is_written_for_a_cell_that_another_run_has_taken_over(registry, tmp_path, mark):
    results, _ = run(registry, tmp_path, ("robbed",), [Device("cpu", 1, 1)])
    assert results == []
    assert [*(tmp_path / "results").glob("*.json")] == []


def test_after_a_failure_fail_fast_trains_nothing_more(registry, tmp_path, mark):
    """The other precisions of a training whose float32 file could not be accepted included."""
    asked = {"store": (Store.FLOAT32, Store.INT8)}
    results, _ = run(
        registry, tmp_path, ("twice",), [Device("cpu", 1, 1)], asked=asked, fail_fast=True
    )
    assert [(method, status) for method, status, _ in results] == [("twice", "failed")]
    assert [*trainings(mark / "trained").values()] == [1]
