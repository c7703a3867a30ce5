import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planned import PLAN, RUN, write_results

from suite.cli.main import build_parser

HEAVY = ("torch", "transformers", "timm", "pandas", "datasets", "matplotlib", "rich", "sklearn")


LIGHT = (
    ("--help",), ("run", "--help"), ("list",), ("list", "backbones"), ("list", "results"),
    ("show", "one"), ("validate",), PLAN, ("run", "--dry-run", *PLAN[1:]), ("why", "*"),
)  # fmt: skip


def test_nothing_heavy_is_imported_and_no_control_characters_are_written_to_a_pipe(folder):
    write_results(folder)
    code = f"""
import sys
from pathlib import Path
from suite.cli.main import main

def commands():
    yield from {LIGHT}
    file = Path({str(folder)!r}, "methods", "one.yaml")
    file.write_text(file.read_text().replace("regime: per_task", "regime: never"))
    yield from (("list",), ("show", "together"), ("plan", "-m", "together", "-t", "toy"))

for words in commands():
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    heavy = [name for name in {HEAVY} if name in sys.modules]
    if heavy or code:
        sys.exit(f"{{words}}: exit code {{code}}, imported {{heavy}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\r" not in done.stdout + done.stderr


def test_help_states_the_exit_codes_and_imports_no_registry():
    code = "import sys, suite.cli.main; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    text = build_parser().format_help()
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


def test_weights_that_do_not_load_are_a_fault_of_the_backbone(call):
    code, out, err = call("check", "bert_toy")
    assert code == 1
    assert "FAULT" in out and "bert_toy does not hold the network that" in out
    assert "bert_toy: 1 fault" in out + err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "-m", "on", "-t", "toy"), "unknown method 'on'; did you mean 'one'?"),
        (("plan", "-m", "one", "-t", "toi"), "unknown task or track 'toi'; did you mean 'toy'?"),
        ((*PLAN, "-b", "bert_toi"), "unknown backbone 'bert_toi'; did you mean 'bert_toy'?"),
        ((*PLAN, "--seeds", "0,x"), "--seeds: whole numbers"),
        ((*PLAN, "--seeds", "0-99999999999"), "--seeds: '0-99999999999' is more than 10,000 seeds"),
        ((*PLAN, "--seeds", "9" * 5000), "--seeds: whole numbers"),
        (
            (*PLAN, "--steps", "9" * 5000),
            "argument --steps: must be a whole number from 1, not '99",
        ),
        (
            (*PLAN, "--steps", str(10**10)),
            "--steps: must be a whole number from 1 to 1,000,000,000",
        ),
        ((*PLAN, "--batch-size", str(10**9)), "--batch-size: must be a whole number from 1 to 1,0"),
        ((*PLAN, "--shard", f"1/{'9' * 5000}"), "--shard: must be I/N"),
        ((*PLAN, "--seeds", "-1"), "--seeds: give at least one number, none below 0"),
        ((*PLAN, "--registry", "nowhere"), "nowhere is not a registry"),
        (("show", "onne"), "nothing is called 'onne'; did you mean 'one'?"),
        (("why", "x"), "no result 'x' in runs/results"),
        (("validate", "onne"), "nothing is called 'onne'; did you mean 'one'?"),
        (("fetch",), "say what to fetch"),
        (("check", "toy"), "'toy' is a track: check one of its tasks, as in toy/first"),
        (("plan", "-m", ",", "-t", "toy"), "--methods names no method"),
        (("plan", "-m", "one", "-t", ""), "--tasks names no task"),
        ((*PLAN, "-b", ","), "--backbones names no backbone"),
        (("check", ""), "'' is no method, no task and no backbone: check one of these"),
        (("check", "onne"), "check one of these; did you mean 'one'?"),
        (("validate", ","), "no name is given"),
        (("leaderboard",), "there is no folder runs/results"),
        (("leaderboard", "--check"), "there is no folder runs/results"),
        (("pack",), "there is no folder runs/results"),
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

    monkeypatch.setattr("suite.cli.catalogue.list_entries", interrupted)
    assert call("list")[0] == 130


def test_a_reader_that_has_seen_enough_gets_no_traceback(folder):
    script = f"{sys.executable} -m suite list backbones | head -n 1"
    done = subprocess.run(script, shell=True, capture_output=True, text=True, env={**os.environ})
    assert done.stderr == ""
