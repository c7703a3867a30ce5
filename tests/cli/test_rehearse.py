"""A rehearsal of full-scale cells: made-up files of the real form, and no network."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from suite.cli.main import main
from suite.registry import load
from suite.registry.schema import Scale
from suite.results.folder import read_results

INTERNET = ("AF_INET", "AF_INET6")
HERE = Path(__file__).parent
CUT: list[int] = []
"""The descriptor that is told of a look at the network, if that ends what looks."""


def refuse(event, values):
    if CUT and event == "socket.getaddrinfo":
        ended(f"a name was looked up: {values[0]}")
    if CUT and event == "socket.connect" and values[0].family.name in INTERNET:
        ended(f"a connection was opened to {values[1]}")


def ended(what):
    # Written as well, because a library may go on after any error, in a forked process too.
    os.write(CUT[0], f"{what}\n".encode())
    raise RuntimeError(what)


def descriptor(path):
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)


@pytest.fixture
def cut(monkeypatch, tmp_path):
    """No network for this process and those that are forked from it."""
    # Hooks stay as long as the process.
    if refuse not in getattr(sys, "guards", []):
        sys.addaudithook(refuse)
        sys.guards = [refuse]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Set anew by a rehearsal, and put back after the test.
    monkeypatch.setenv("SUITE_DATA", "/nowhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    looks = tmp_path / "looks.txt"
    CUT.append(descriptor(looks))
    yield looks
    os.close(CUT.pop())
    assert looks.read_text() == ""


@pytest.mark.parametrize(
    "look",
    [
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: socket.create_connection(("::1", 9)),
        lambda: socket.socket().connect(("127.0.0.1", 9)),
    ],
)
def test_the_guard_sees_a_look_at_the_network(cut, look):
    with pytest.raises(RuntimeError, match=r"a name was looked up|a connection was opened") as seen:
        look()
    assert cut.read_text() == f"{seen.value}\n"
    cut.write_text("")


def test_a_real_board_is_rehearsed_without_a_network(cut, forked, tmp_path):
    out = tmp_path / "out"
    words = ("-m", "linear_probe", "-t", "small-images/sketch", "-b", "resnet20", "-j", "1", "-q")
    assert main(["rehearse", *words, "--out", str(out)]) == 0
    (result,) = read_results(out).values()
    # A hundredth of the track's 200 steps, on two examples each.
    assert (result.status, result.steps, result.recipe.batch_size) == ("ok", 2, 2)
    assert result.cell.name == "linear_probe[steps=2,batch_size=2]"
    # The form is the real one, and no reader takes the score for one of real data.
    assert result.backbone_parameters == 269_072
    assert "made-up examples" in result.scores[0].data
    assert "made-up examples" in (out / "small-images-resnet20-full.md").read_text()


def test_a_rehearsal_takes_as_many_steps_as_it_is_told(cut, forked, tmp_path):
    out = tmp_path / "out"
    words = ("-m", "linear_probe", "-t", "small-images/sketch", "-b", "resnet20", "-j", "1", "-q")
    assert main(["rehearse", *words, "--steps", "3", "--out", str(out)]) == 0
    (result,) = read_results(out).values()
    assert result.steps == 3


def test_only_full_scale_cells_are_rehearsed(capsys):
    assert main(["rehearse", "-m", "lora", "-t", "glue", "--scale", "mini"]) == 2
    assert "unrecognized arguments: --scale mini" in capsys.readouterr().err


PAPERS = [
    track.name
    for track in load().tracks.values()
    if Scale.FULL in track.backbones and not track.name.startswith(("small", "pacs"))
]
SITE = f"""
import os
import sys
sys.path.insert(0, {str(HERE)!r})
import test_rehearse
sys.addaudithook(test_rehearse.refuse)
test_rehearse.CUT.append(test_rehearse.descriptor(os.environ["LOOKS"]))
"""
"""Run by every Python that starts."""


@pytest.mark.nightly
@pytest.mark.parametrize("track", PAPERS)
def test_every_track_of_a_paper_is_rehearsed_without_a_network(tmp_path, track):
    guard, out, looks = tmp_path / "guard", tmp_path / "out", tmp_path / "looks.txt"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(SITE)
    paths = [str(guard), str(HERE.parents[1])]
    entry = load().tracks[track]
    words = ("-m", "lora", "-t", f"{track}/{entry.tasks[0]}", "-b", entry.backbones[Scale.FULL][0])
    done = subprocess.run(
        [sys.executable, "-m", "suite", "rehearse", *words, "--budget", "1e-6", "--out", str(out)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "XDG_CACHE_HOME": str(tmp_path),
            "LOOKS": str(looks),
        },
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (result,) = read_results(out).values()
    assert (result.status, result.steps) == ("ok", 1)
    assert looks.read_text() == ""
