"""A cell that was killed goes on, and ends with the bytes of one that was left alone."""

import multiprocessing
import os
import signal
from functools import cache

import pytest
import torch
from few import few_examples
from safetensors.torch import load_file
from toy import write_method, write_tasks

from suite.cli.main import main
from suite.engine.cell import store_cell, train_cell
from suite.engine.checkpoint import FOLDER, SETTING, Checkpoint, remove, training_key
from suite.engine.workspace import Workspace
from suite.errors import UserError
from suite.planning.plan import plan
from suite.planning.request import request
from suite.registry import load

CELLS = {
    "per task": ("adapters", "glue/rte", "bert_mini", {}),
    "joint, with dropout": ("mtlora", "glue/rte,glue/sst2", "bert_mini", {}),
    "an arena, whose gates lock": (
        "taps",
        "digits",
        "resnet_mini",
        {"taps.lock_after": 0.5, "taps.gate_penalty": 3.0},
    ),
    "phases": ("taps_joint", "digits,glyphs", "resnet_mini", {}),
    "a merge": ("ties", "digits,glyphs", "resnet_mini", {}),
    "a head on features": ("linear_probe", "digits", "vit_mini", {}),
    "batches that are remembered": ("disparse", "digits,glyphs", "resnet_mini", {}),
}
STEPS = 12


@cache
def shared():
    return Workspace(load(), torch.device("cpu"), 1)


def make(name):
    method, tasks, backbone, options = CELLS[name]
    workspace = shared()
    asked = request(method, tasks, backbone, steps=STEPS, batch_size=8, options=options)
    (item,) = plan(asked, workspace.registry).planned
    return item.cell, workspace


def run(name, folder, kill_at=()):
    """One attempt at the cell, by a process that writes a checkpoint at every third step."""
    cell, workspace = make(name)
    times = iter(range(10**9))
    heard = []
    checkpoint = Checkpoint(
        folder, training_key(cell, "cpu"), heard.append, every=3.0, clock=lambda: next(times)
    )

    def progress(step, steps):
        if step in kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    trained = train_cell(cell, workspace, progress, checkpoint)
    result = store_cell(cell, trained, workspace, folder)
    return heard, [score.predictions for score in result.scores], result.facts


EVERY_TIME = ("joint, with dropout", "an arena, whose gates lock")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in EVERY_TIME else pytest.mark.nightly) for name in CELLS],
)
def test_a_killed_cell_ends_as_one_that_was_left_alone(name, tmp_path, monkeypatch):
    few_examples(monkeypatch, tmp_path / "cache")
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    heard, expected, facts = run(name, alone)
    assert heard == []
    total = STEPS * len(make(name)[0].key.tasks)
    # Early, in the middle (of a joint cell's later phase), and at the last step.
    places = (total // 2 - 1, 2 * total // 3 + 2, total)
    for place in places:
        process = multiprocessing.get_context("fork").Process(
            target=run, args=(name, killed, (place,))
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    steps, found, own = run(name, killed)
    assert 0 < steps[0] <= total
    assert (found, own) == (expected, facts)
    files = [folder / "delta.safetensors" for folder in (alone, killed)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert load_file(files[0])
    # The best state may be an early one: the sum of all losses depends on every step.
    ends = sorted((alone / FOLDER).glob("phase-*"))
    assert ends
    for end in ends:
        found = load_file(killed / FOLDER / end.name)
        for tensor, other in zip(load_file(end).values(), found.values(), strict=True):
            assert torch.equal(tensor, other)
    remove(killed)
    assert [path.name for path in killed.iterdir()] == ["delta.safetensors"]


KILLED_TWICE = """\
marks = os.environ["MARKS"]
        if progress >= 0.5 and len(os.listdir(marks)) < 2:
            os.mkdir(f"{marks}/{os.getpid()}")
            os.kill(os.getpid(), signal.SIGKILL)"""


@pytest.mark.parametrize("seconds", ["0.001", pytest.param("", marks=pytest.mark.nightly)])
def test_run_says_where_a_killed_cell_goes_on(seconds, tmp_path, monkeypatch, capsys, forked):
    write_tasks(tmp_path)
    write_method(tmp_path, "killed_twice", penalty=KILLED_TWICE)
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    monkeypatch.setenv(SETTING, seconds)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["run", "--registry", str(tmp_path), "-m", "killed_twice", "-t", "reds"]
    words += ["--out", str(tmp_path)]
    said = "killed_twice  colours/reds  resnet_mini  seed 0: continues at step 6\n"
    assert main(words) == 1
    heard = capsys.readouterr().err
    assert "tried once more" in heard
    # By default a cell of seconds has no checkpoint.
    assert (said in heard) == bool(seconds)
    (work,) = (tmp_path / "work").iterdir()
    assert (work / FOLDER).is_dir() == bool(seconds)
    assert main(words) == 0
    assert (said in capsys.readouterr().err) == bool(seconds)
    assert not (work / FOLDER).exists()


def test_a_checkpoint_of_another_training_is_none(tmp_path, monkeypatch, capsys):
    few_examples(monkeypatch, tmp_path / "cache")
    process = multiprocessing.get_context("fork").Process(
        target=run, args=("a head on features", tmp_path, (8,))
    )
    process.start()
    process.join()
    files = list((tmp_path / FOLDER).iterdir())
    assert files
    heard = []
    Checkpoint(tmp_path, "another", heard.append)
    assert heard == [] and not (tmp_path / FOLDER).exists()
    assert "of another training" in capsys.readouterr().err


def test_the_setting_must_be_seconds(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, "five minutes")
    with pytest.raises(UserError, match="SUITE_CHECKPOINT=five minutes: must be a number"):
        Checkpoint(tmp_path, "key", print)
