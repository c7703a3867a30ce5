"""Several runs on one folder: each cell is computed once, whichever of them ends and how."""

import json
import os
import signal
import time
from collections import Counter

import pytest
from shell import wait_for
from toy import COUNTED, trainings, write_method, write_tasks

from suite.results.claims import Owner


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good", more=COUNTED)
    write_method(folder, "raises", adapt='raise ValueError("the moon is full")')
    write_method(folder, "slow", more=COUNTED, penalty="time.sleep(0.7)")
    return folder


class Runs:
    def __init__(self, registry, folder, start):
        self.out, self.log = folder / "out", folder / "trained"
        self.words = ["run", "--registry", registry, "-t", "colours", "--out", self.out, "-j", "1"]
        self.words += ["--device", "cpu"]
        self.start_command = start

    def start(self, *words):
        return self.start_command(*self.words, *words)

    def results(self):
        """The status of every cell."""
        found = {}
        for path in (self.out / "results").glob("*.json"):
            found[path.stem] = json.loads(path.read_text())["status"]
        return found

    def trainings(self):
        return trainings(self.log)

    def left_over(self):
        return [path.name for path in (self.out / "results").iterdir() if path.suffix != ".json"]


@pytest.fixture
def runs(registry, tmp_path, start, monkeypatch):
    runs = Runs(registry, tmp_path, start)
    monkeypatch.setenv("TRAINED", str(runs.log))
    return runs


def test_two_runs_share_a_plan_and_both_end_with_all_of_it(runs):
    both = [runs.start("-m", "good,raises", "--seeds", "0-2") for _ in range(2)]
    said = [process.end() for process in both]
    assert [process.returncode for process in both] == [1, 1], said
    results = runs.results()
    assert Counter(results.values()) == {"ok": 6, "failed": 6}
    assert runs.trainings() == dict.fromkeys((name for name in results if "good" in name), 1)
    lines = [line for text in said for line in text.splitlines() if line.startswith("[")]
    assert len(lines) == 12, "a cell that failed is not run again by the other"
    assert all("6 failed" in text and "6 ok" in text for text in said)
    assert runs.left_over() == []


@pytest.mark.nightly
def test_of_four_runs_one_is_killed_and_nothing_is_lost_or_done_twice(runs):
    others = [runs.start("-m", "good,slow", "--seeds", "0-4") for _ in range(3)]
    killed = runs.start("-m", "slow,good", "--seeds", "0-4")

    def computes():
        for path in (runs.out / "results").glob("*.claim"):
            owner = Owner.model_validate_json(path.read_text())
            if owner.process == killed.pid:
                return path.stem
        return ""

    wait_for(lambda: "slow" in computes() and (runs.out / "work" / computes() / "log.txt").exists())
    interrupted = computes()
    killed.send_signal(signal.SIGKILL)
    killed.end()
    said = [process.end() for process in others]
    assert [process.returncode for process in others] == [0, 0, 0], said
    assert list(runs.results().values()) == ["ok"] * 20
    trainings = runs.trainings()
    trainings[interrupted] = 1  # it may have been trained and not yet stored
    assert trainings == dict.fromkeys(runs.results(), 1)
    assert runs.left_over() == []
    taken = [line for text in said for line in text.splitlines() if "taken over from" in line]
    assert len(taken) == 1, said
    assert f"process {killed.pid} on " in taken[0]


@pytest.mark.nightly
def test_a_run_says_what_it_waits_for_and_goes_on_when_the_other_is_interrupted(runs):
    first = runs.start("-m", "slow")
    wait_for(lambda: any((runs.out / "results").glob("*.claim")))
    second = runs.start("-m", "slow", "-b", "resnet_mini")
    lines = []
    while not (lines and lines[-1].startswith("waiting for ")):
        lines.append(second.stderr.readline())
        assert lines[-1], lines
        if lines[-1].startswith("[1/2]"):
            break
    first.send_signal(signal.SIGINT)
    first.end()
    assert first.returncode == 130
    lines += second.end().splitlines()
    assert second.returncode == 0, lines
    assert list(runs.results().values()) == ["ok", "ok"]
    assert runs.left_over() == []


def test_a_cell_of_a_machine_that_is_gone_is_taken_over(runs):
    """And one of a machine that lives is waited for, and nothing of it is touched."""
    folder = runs.out / "results"
    folder.mkdir(parents=True)
    cells = [f"mini.good.colours-{task}.resnet_mini.s0" for task in ("reds", "blues")]
    for cell, age in zip(cells, (3600, 0), strict=True):
        owner = Owner(
            token=f"of {cell}"[:16], host="far", machine="x", process=1, started="", since="noon"
        )
        path = folder / f"{cell}.claim"
        path.write_text(owner.model_dump_json())
        os.utime(path, (time.time() - age, time.time() - age))
    process = runs.start("-m", "good")
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("waiting for "):
            break
    assert "a cell that another run computes: good  colours/blues" in said[-1]
    assert "process 1 on far, since noon" in said[-1]
    assert runs.trainings() == {cells[0]: 1}
    assert not (runs.out / "work" / cells[1]).exists()
    (folder / f"{cells[1]}.claim").unlink()
    process.end()
    assert process.returncode == 0
    assert runs.trainings() == dict.fromkeys(cells, 1)
    assert runs.left_over() == []
