import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from registries import replace, write_registry

from suite import cli
from suite.plan import Request, plan
from suite.registry import load
from suite.registry.code import load_method
from suite.results import Result

HEAVY = ("torch", "transformers", "timm", "pandas", "datasets", "matplotlib", "rich", "sklearn")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SUITE_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parent.parent))
    folder = write_registry(tmp_path / "registry")
    monkeypatch.setenv("SUITE_REGISTRY", str(folder))
    return folder


@pytest.fixture
def call(folder, capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


PLAN = ("plan", "-m", "one,together", "-t", "toy")
RUN = ("run", *PLAN[1:])


def write_results(folder: Path, status: str = "ok") -> list[Result]:
    """Leave the results of `PLAN` behind, as a run does."""
    made = plan(Request(methods=("one", "together"), tasks=("toy",)), load(folder))
    results = [
        Result(
            cell=item.cell.key,
            identity=item.cell.identity,
            recipe=item.cell.recipe,
            options=dict(item.cell.options),
            status=status,
            log="work/log.txt",
        )
        for item in made.planned
    ]
    for result in results:
        result.write(Path("runs") / "results")
    return results


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("run", "--help"),
        ("list",),
        ("list", "backbones"),
        ("list", "results"),
        ("show", "one"),
        ("validate",),
        PLAN,
        ("run", "--dry-run", *PLAN[1:]),
        ("why", "*"),
    ],
)
def test_nothing_heavy_is_imported_without_need(folder, words):
    write_results(folder)
    code = (
        "import sys; from suite.cli import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_states_the_exit_codes_and_imports_no_registry():
    code = "import sys, suite.cli; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    text = cli.build_parser().format_help()
    for line in ("every cell is ok", "some cell failed", "wrong usage", "interrupted"):
        assert line in text


def test_without_a_verb_the_help_is_printed(call):
    code, out, _ = call()
    assert code == 0
    assert out.startswith("usage: python -m suite")


def files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_plan_writes_nothing(call, tmp_path):
    before = files(tmp_path)
    code, out, err = call(*PLAN)
    assert code == 0
    assert len(out.splitlines()) == 4
    assert "3 to run. Nothing written." in err
    after = files(tmp_path)
    assert {path for path in after if "/cache" not in path} == set(before)
    assert all(after[path] == when for path, when in before.items() if path != str(tmp_path))


def test_the_plan_of_what_is_finished_is_cached(call, folder):
    write_results(folder)
    _, out, err = call(*PLAN)
    assert out.count("cached") == 3
    assert "3 cached. Nothing written." in err


def test_lists_are_separated_by_commas_spaces_or_both(call):
    expected = call(*PLAN)[1]
    assert call("plan", "-m", "one", "together", "-t", "first,", "second")[1] == expected
    assert call("plan", "-m", "[ot]?e", "together,one", "-t", "toy/*")[1] == expected


def test_underscores_and_hyphens_in_options_are_alike(call):
    for option in ("--batch-size", "--batch_size"):
        code, out, _ = call(*PLAN, option, "3", "--json")
        assert code == 0
        assert {item["recipe"]["batch_size"] for item in json.loads(out)} == {3}


def test_json_is_all_that_stdout_holds(call):
    for words in (
        (*PLAN, "--json"),
        ("list", "methods", "--json"),
        ("list", "results", "--json"),
    ):
        code, out, _ = call(*words)
        assert code == 0
        assert isinstance(json.loads(out), list)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "-m", "on", "-t", "toy"), "unknown method 'on'; did you mean 'one'?"),
        (("plan", "-m", "one", "-t", "toi"), "unknown task or track 'toi'; did you mean 'toy'?"),
        ((*PLAN, "-b", "bert_toi"), "unknown backbone 'bert_toi'; did you mean 'bert_toy'?"),
        ((*PLAN, "--seeds", "0,x"), "--seeds: whole numbers"),
        ((*PLAN, "--seeds", "-1"), "--seeds: give at least one number, none below 0"),
        ((*PLAN, "--registry", "nowhere"), "nowhere is no registry"),
        (("show", "onne"), "nothing is called 'onne'; did you mean 'one'?"),
        (("why", "x"), "no result 'x' in runs/results"),
        (("validate", "onne"), "nothing is called 'onne'; did you mean 'one'?"),
        (("fetch",), "say what to fetch"),
        (("check", "toy"), "'toy' is a track: check one of its tasks, as in toy/first"),
        (("plan", "-m", ",", "-t", "toy"), "--methods names no method"),
        (("plan", "-m", "one", "-t", ""), "--tasks names no task"),
        ((*PLAN, "-b", ","), "--backbones names no backbone"),
        (("check", ""), "'' is no method and no task: check a method or a task"),
        (("check", "onne"), "check a method or a task; did you mean 'one'?"),
        (("check", "bert_toy"), "'bert_toy' is a backbone"),
        (("validate", ","), "no name is given"),
        (("leaderboard",), "there is no folder runs/results"),
        (("leaderboard", "--check"), "there is no folder runs/results"),
        (("tune", "one", "-t", "toi"), "unknown task or track 'toi'; did you mean 'toy'?"),
        (("new", "task", "toy/published"), "'published' is the name of another file of a track"),
        (("rnu",), "invalid choice: 'rnu'"),
        (("rnu",), "did you mean 'run'?"),
        (("list", "method"), "did you mean 'methods'?"),
        ((*PLAN, "--stepz", "3"), "--stepz 3; did you mean '--steps'?"),
        (("plan",), "required: -m/--methods, -t/--tasks"),
        (RUN[:3], "see: python -m suite run --help"),
        ((*RUN, "--quiet", "--out", "registry/methods/one.yaml"), "cannot write results there"),
    ],
)
def test_a_mistake_of_the_user_is_one_message_and_exit_code_2(call, words, message):
    code, out, err = call(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ("rnu",), ("plan",), (*PLAN, "--steps", "0"), (*PLAN, "--steps", "x"), (*PLAN, "--x"),
        (*RUN, "--device", "gpu"), (*RUN, "--device", "cuda:x"), (*RUN, "--timeout", "nan"),
        (*RUN, "--timeout", "0"), (*RUN, "--jobs", "0"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_message_and_exit_code_2(call, words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 2


def test_an_interruption_is_exit_code_130(call, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("suite.commands.catalogue.list_entries", interrupted)
    assert call("list")[0] == 130


def test_validate_lists_every_mistake(call, folder):
    assert call("validate")[0] == 0
    replace(folder / "methods" / "one.yaml", "regime: per_task", "regime: never")
    replace(folder / "tasks" / "toy" / "first.yaml", "metrics:", "metric:")
    code, out, err = call("validate")
    assert (code, out) == (2, "")
    assert "registry/methods/one.yaml:5:9: regime: 'never' is not one of" in err
    assert "registry/tasks/toy/first.yaml:8:1: metric: unknown key" in err
    assert call("validate", "together")[0] == 0
    assert call("validate", "one")[0] == 2


def test_a_broken_entry_is_listed_warned_of_and_refused_if_selected(call, folder):
    replace(folder / "methods" / "one.yaml", "regime: per_task", "regime: never")
    _, out, _ = call("list", "methods")
    assert "one  BROKEN registry/methods/one.yaml:5:9" in out
    assert "together" in out
    code, out, err = call("plan", "-m", "together", "-t", "toy")
    assert code == 0
    assert "warning: method 'one' is broken: registry/methods/one.yaml:5:9" in err
    code, _, err = call("plan", "-m", "one", "-t", "toy")
    assert code == 2
    assert "regime: 'never' is not one of" in err


def test_show_prints_an_entry_with_its_files(call):
    code, out, _ = call("show", "one")
    assert code == 0
    assert out.startswith("method one\n  file: registry/methods/one.yaml\n")
    assert "default: 8" in out


def test_why_names_what_changed_since(call, folder):
    label = write_results(folder)[0].cell.label
    assert "the same identity" in call("why", label)[1]
    replace(folder / "methods" / "one.py", "NotImplementedError", "ValueError")
    code, out, _ = call("why", label)
    assert code == 0
    assert "today     method code changed" in out
    assert out.count("\n\n") == 0
    assert call("why", "one.*")[1].count("status") == 2


def test_new_method_and_task_are_valid_and_planned(call, tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_REGISTRY", "")
    monkeypatch.chdir(tmp_path)
    assert call("new", "method", "low_rank")[0] == 0
    assert call("new", "task", "demo/one")[0] == 0
    assert call("new", "task", "demo/two-more")[0] == 0
    assert call("new", "task", "pictures/left", "--modality", "image")[0] == 0
    code, out, err = call("validate")
    assert code == 0, err
    _, out, _ = call("plan", "-m", "low-rank", "-t", "demo", "pictures", "--json")
    cells = [item["cell"] for item in json.loads(out)]
    assert [(cell["track"], *cell["tasks"]) for cell in cells] == [
        ("demo", "one"), ("demo", "two-more"), ("pictures", "left"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["bottleneck", "method", "none", "3d", "sequence"])
def test_a_new_method_may_have_any_plain_name(call, folder, name):
    assert call("new", "method", name)[0] == 0
    code, _, err = call("validate", name)
    assert code == 0, err
    assert load_method(load(folder).methods[name], {"reduction": 4}).reduction == 4


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_new_task_keeps_the_contract(call, folder, modality):
    assert call("new", "task", "demo/one", "--modality", modality)[0] == 0
    code, out, _ = call("check", "demo/one")
    assert code == 0, out


def test_new_task_is_added_to_a_list_in_either_style(call, folder):
    assert call("new", "task", "toy/third", "--registry", str(folder))[0] == 0
    track = folder / "tasks" / "toy" / "track.yaml"
    replace(
        track, "tasks: [first, second, third]", "tasks:\n  - first\n  - second  # why\n  - third"
    )
    assert call("new", "task", "toy/fourth", "--registry", str(folder))[0] == 0
    assert load(folder).problems == ()
    assert load(folder).tracks["toy"].tasks == ("first", "second", "third", "fourth")
    assert "second  # why" in track.read_text()


def test_check_names_what_is_broken(call, folder):
    replace(folder / "tasks" / "toy" / "first.yaml", "modality: text", "modality: txt")
    code, _, err = call("check", "toy/first")
    assert code == 2
    assert "first.yaml" in err and "'txt' is not one of" in err


def test_new_overwrites_nothing(call, folder):
    code, _, err = call("new", "method", "one")
    assert code == 2
    assert "registry/methods/one.yaml exists: choose another name" in err


def test_new_writes_all_of_a_task_or_nothing(call, tmp_path, folder):
    root = tmp_path / "fresh"
    assert call("new", "task", "demo/track", "--registry", str(root))[0] == 2
    assert not root.exists()
    assert call("new", "task", "demo/one", "--registry", str(root))[0] == 0
    (root / "tasks" / "demo" / "two.yaml").write_text("")
    before = sorted(root.rglob("*"))
    assert call("new", "task", "demo/two", "--registry", str(root))[0] == 2
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "X", "a b", "-x", "toy/", "/x"])
def test_new_refuses_a_name_that_is_none(call, name):
    kind = "task" if "/" in name else "method"
    assert call("new", kind, "--", name)[0] == 2


def test_fetch_prints_a_manifest_of_what_is_here(call, tmp_path):
    code, out, _ = call("fetch", "-b", "bert_toy")
    assert code == 0
    manifest = tmp_path / "manifest"
    manifest.write_text(out)
    assert len(out.splitlines()) == 2
    done = subprocess.run(["sha256sum", "-c", manifest], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_fetch_without_a_network_names_what_is_missing(call, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, err = call("fetch", "-b", "t5_base")
    assert (code, out) == (1, "")
    assert "weights of backbone t5_base (google-t5/t5-base) not found" in err


def test_a_pipe_gets_no_control_characters(folder):
    replace(folder / "methods" / "one.yaml", "regime: per_task", "regime: never")
    for words in (("list",), ("show", "together"), ("plan", "-m", "together", "-t", "toy")):
        done = subprocess.run([sys.executable, "-m", "suite", *words], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"\r" not in done.stdout + done.stderr


def test_a_reader_that_has_seen_enough_gets_no_traceback(folder):
    script = f"{sys.executable} -m suite list backbones | head -n 1"
    done = subprocess.run(script, shell=True, capture_output=True, text=True, env={**os.environ})
    assert done.stderr == ""


@pytest.fixture
def executed(monkeypatch):
    """Replace the execution of cells by results of one status."""

    def replace_by(status: str) -> None:
        def execute(made, registry, settings, progress):
            for item in made.with_action("run"):
                Result(
                    cell=item.cell.key,
                    identity=item.cell.identity,
                    status=status,
                    reason="boom",
                    log="work/log.txt",
                ).write(settings.out / "results")

        monkeypatch.setattr("suite.commands.run.execute", execute)

    return replace_by


def test_a_run_with_failures_names_them_their_logs_and_how_to_retry(call, executed):
    executed("failed")
    code, _, err = call(*RUN, "--steps", "5")
    assert code == 1
    lines = err.splitlines()
    assert lines[0].startswith("mini scale:")
    assert "--scale full" in lines[0]
    assert "3 failed." in lines
    assert "one.toy-first.bert_toy.s0: failed: boom (log: runs/work/log.txt)" in lines
    retry = "python -m suite run -m one,together -t toy --steps 5 --only-failed"
    assert lines[-1].strip() == retry
    _, out, _ = call("plan", *retry.split()[4:], "--json")
    assert [item["reason"] for item in json.loads(out)] == ["failed before: boom"] * 3


def test_an_interrupted_run_says_that_the_same_command_continues(call, monkeypatch):
    def execute(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("suite.commands.run.execute", execute)
    code, out, err = call(*RUN)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1].strip() == "python -m suite run -m one,together -t toy"


def test_a_result_without_its_track_stops_only_the_leaderboards(call, folder, executed):
    executed("unsupported")
    stray = write_results(folder)[0]
    key = stray.cell.model_copy(update={"track": "gone"})
    stray.model_copy(update={"cell": key}).write(Path("runs") / "results")
    code, _, err = call(*RUN, "--force")
    assert code == 1
    assert "leaderboards not written: result one.gone-first" in err
    assert "3 unsupported." in err.splitlines()[-1]


def test_unsupported_cells_are_no_failure(call, executed):
    executed("unsupported")
    code, out, err = call(*RUN)
    assert code == 0
    assert "3 unsupported." in err
    assert "unsupported: boom" in out


def test_a_run_that_lacks_everything_names_it_and_runs_nothing(call, folder, executed):
    executed("ok")
    weights = folder / "backbones" / "mini" / "bert_toy"
    (weights / "model.safetensors").unlink()
    code, out, err = call(*RUN)
    assert (code, out) == (2, "")
    assert f"looked in {weights}" in err
    assert not Path("runs").exists()


def test_a_run_that_lacks_something_runs_the_rest_and_fails(call, folder, executed):
    executed("unsupported")
    replace(folder / "backbones" / "t5_toy.yaml", "family: t5", "family: bert")
    (folder / "backbones" / "mini" / "t5_toy" / "model.safetensors").unlink()
    code, _, err = call(*RUN, "-b", "bert_toy", "t5_toy")
    assert code == 1
    assert "3 unsupported, 3 missing." in err


def test_offline_is_passed_on_to_the_libraries(call, executed, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    executed("unsupported")
    call(*RUN, "--offline")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
