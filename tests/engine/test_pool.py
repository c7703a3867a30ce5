"""Running plans: failures stay visible, nothing finished is lost, the same command continues."""

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from shell import environment, wait_for
from toy import write_method, write_tasks

from suite.cli.main import main

RUN = [sys.executable, "-m", "suite", "run"]


def results(out):
    found = [json.loads(path.read_text()) for path in sorted((out / "results").glob("*.json"))]
    return {(each["cell"]["method"], *each["cell"]["tasks"]): each for each in found}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good")
    write_method(folder, "raises", penalty='raise ValueError("the moon is full")')
    write_method(folder, "diverges", penalty='return torch.tensor(float("nan"))')
    write_method(folder, "killed", penalty="os.kill(os.getpid(), signal.SIGKILL)")
    write_method(folder, "exits", penalty="os._exit(3)")
    write_method(folder, "hangs", penalty="time.sleep(1000)")
    write_method(folder, "hungry", penalty='raise MemoryError("too much")')
    write_method(folder, "refuses", adapt='raise Unsupported("not on a Friday")')
    write_method(folder, "undercounts", cost="norm - 1")
    write_method(
        folder,
        "leaks",
        more="""
    def facts(self, model):
        model.backbone.network.conv1.weight.data.add_(1.0)
        return {}
""",
    )
    write_method(
        folder,
        "forgets",
        more="""
    def stored(self, model, names):
        return [name for name in names if not name.endswith("running_var")]
""",
    )
    wait = f"while os.path.exists({str(folder / 'wait')!r}): time.sleep(0.05)"
    write_method(folder, "waits", penalty=wait)
    return folder


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def wreck(registry, cache, tmp_path_factory, forked):
    """A run of which most cells fail, and its folder. Many of its workers are replaced."""
    out = tmp_path_factory.mktemp("wreck")
    methods = "good raises diverges killed exits hungry refuses undercounts leaks forgets"
    words = ["run", "--registry", registry, "-t", "reds", "--out", out, "-j", 2]
    said, told = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(told):
        patch.setenv("XDG_CACHE_HOME", str(cache))
        code = main([str(word) for word in (*words, "-m", *methods.split())])
        # Alone, because no other cell can be sure to end within so little time.
        main([str(word) for word in (*words, "-m", "hangs", "--timeout", 2)])
    return Done(code, said.getvalue(), told.getvalue()), out


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("good", "ok", ""),
        ("raises", "failed", "the moon is full"),
        ("diverges", "diverged", "not finite"),
        ("killed", "failed", "killed twice (signal 9)"),
        ("exits", "failed", "exit code 3"),
        ("hangs", "timeout", "not finished after 2 s"),
        ("hungry", "oom", "too much"),
        ("refuses", "unsupported", "not on a Friday"),
        ("undercounts", "failed", "closed form"),
        ("leaks", "failed", "conv1.weight"),
        ("forgets", "failed", "not stored"),
    ],
)
def test_every_end_of_a_cell_is_a_result_with_its_reason(wreck, method, status, reason):
    result = results(wreck[1])[method, "reds"]
    assert result["status"] == status
    assert reason in result["reason"] if reason else result["reason"] == ""


@pytest.fixture
def here(cache, monkeypatch, capsys, forked):
    """Run a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def run(*words):
        return main([str(word) for word in words]), *capsys.readouterr()

    return run


def test_files_that_cannot_be_written_end_the_run_with_one_message(registry, here, tmp_path):
    (tmp_path / "work").write_text("in the way")
    words = ("run", "-q", "--registry", registry, "-m", "good", "-t", "reds", "--out", tmp_path)
    code, _, said = here(*words)
    assert code == 2
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "cannot be written (Not a directory)" in said
    assert "what has finished is kept, and the same command continues" in said
    assert list((tmp_path / "results").iterdir()) == []


def test_failures_are_shown_and_the_exit_code_says_so(wreck):
    done, _ = wreck
    assert done.returncode == 1
    assert "raises" in done.stdout
    assert "failed" in done.stdout
    assert "the moon is full" in done.stderr
    assert "--only-failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_log_of_a_failed_cell_has_its_traceback(wreck):
    log = wreck[1] / results(wreck[1])["raises", "reds"]["log"]
    assert "ValueError: the moon is full" in log.read_text()


def test_output_in_a_pipe_has_no_control_characters(wreck):
    done, _ = wreck
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr


def test_the_same_command_keeps_what_is_done_and_the_plan_says_why(wreck, registry, here):
    _, out = wreck
    before = (out / "results").stat().st_mtime_ns
    words = ("--registry", registry, "-m", "good", "raises", "-t", "reds", "--out", out)
    _, plan, _ = here("plan", *words)
    good, raises = (
        next(line for line in plan.splitlines() if line.startswith(name))
        for name in ("good", "raises")
    )
    assert "cached" in good
    assert "failed before: ValueError: the moon is full" in raises
    assert (out / "results").stat().st_mtime_ns == before


def test_editing_a_method_reruns_it_and_nothing_else(registry, here, tmp_path):
    out = tmp_path / "out"
    write_method(registry, "edited")
    command = ("--registry", registry, "-m", "good", "edited", "-t", "reds", "--out", out)
    assert here("run", *command)[0] == 0
    source = registry / "methods" / "edited.py"
    source.write_text(source.read_text() + "\n# another idea\n")
    plan = here("plan", *command)[1]
    assert plan.count("cached") == 2
    write_method(registry, "edited", adapt="assert tasks")
    plan = here("plan", *command)[1]
    edited, good = (
        next(line for line in plan.splitlines() if line.startswith(name))
        for name in ("edited", "good")
    )
    assert "run" in edited
    assert "code changed: method" in edited
    assert "cached" in good


def workers_of(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("how", "code"),
    [pytest.param(signal.SIGKILL, -9, marks=pytest.mark.nightly), (signal.SIGINT, 130)],
)
def test_an_ended_run_loses_only_what_was_running(registry, cache, here, tmp_path, how, code):
    out = tmp_path / "out"
    arguments = ["--registry", str(registry), "-m", "good", "waits", "-t", "colours"]
    arguments += ["--out", str(out), "-j", "1"]
    (registry / "wait").touch()
    process = subprocess.Popen(
        [*RUN, *arguments],
        env=environment(cache),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len(list((out / "results").glob("*.json"))) >= 2)
    workers = workers_of(process.pid)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    wait_for(lambda: not any(alive(pid) for pid in workers), 30)
    if how == signal.SIGINT:
        assert "the same command continues" in said
        assert "leaked" not in said
    (registry / "wait").unlink()
    kept = results(out)
    assert len(kept) == 2
    assert all(result["status"] == "ok" for result in kept.values())

    code, _, said = here("run", *arguments)
    assert code == 0
    assert "2 cached" in said
    final = results(out)
    assert len(final) == 4
    assert {key: final[key] for key in kept} == kept
