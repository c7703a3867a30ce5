import json
import os
import subprocess
from pathlib import Path

import pytest
from planned import RUN, write_results
from registries import replace

from suite.results.records import Result


@pytest.fixture
def executed(monkeypatch):
    """Replace the execution of cells by results of one status."""

    def replace_by(status: str) -> None:
        def execute(made, registry, settings):
            for item in made.with_action("run"):
                Result(
                    cell=item.cell.key,
                    identity=item.cell.identity,
                    status=status,
                    reason="boom",
                    log="work/log.txt",
                ).write(settings.out / "results")

        monkeypatch.setattr("suite.cli.run.execute", execute)

    return replace_by


def test_a_run_with_failures_names_them_their_logs_and_how_to_retry(call, executed):
    executed("failed")
    code, _, err = call(*RUN, "--steps", "5")
    assert code == 1
    lines = err.splitlines()
    assert lines[0].startswith("mini scale:")
    assert "--scale full" in lines[0]
    assert "3 failed." in lines
    assert "one[steps=5].toy-first.bert_toy.s0: failed: boom (log: runs/work/log.txt)" in lines
    retry = "python -m suite run -m one,together -t toy --steps 5 --only-failed"
    assert lines[-1].strip() == retry
    _, out, _ = call("plan", *retry.split()[4:], "--json")
    assert [item["reason"] for item in json.loads(out)] == ["failed before: boom"] * 3


def test_an_interrupted_run_says_that_the_same_command_continues(call, monkeypatch):
    def execute(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("suite.cli.run.execute", execute)
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


@pytest.mark.parametrize("words", [("list", "results"), ("why", "*"), ("leaderboard",)])
def test_what_is_no_result_is_named_once_and_left_out(call, folder, executed, words):
    executed("unsupported")
    call(*RUN)
    whole = call(*words)
    Path("runs/results/note.json").write_text("{}")
    copy = Path("runs/results/copy.json")
    copy.write_bytes(Path("runs/results/mini.one.toy-first.bert_toy.s0.json").read_bytes())
    code, out, err = call(*words)
    assert (code, out) == whole[:2]
    assert err.count("warning: left out, because it is no result:") == 1
    assert "  runs/results/copy.json: holds the result of mini.one.toy-first.bert_toy" in err
    assert "  runs/results/note.json: not a result of this version (" in err


def test_what_is_no_result_is_in_the_way_of_its_own_cell_alone(call, folder, executed):
    executed("unsupported")
    place = Path("runs/results/mini.one.toy-first.bert_toy.s0.json")
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    code, out, err = call(*RUN)
    assert (code, place.read_text()) == (1, "{}")
    assert f"left out: {place}: not a result of this version (" in err
    assert "move it away or delete it, and its cell will run again" in err
    assert "2 unsupported, 1 missing." in err
    assert len([*place.parent.glob("*.json")]) == 3
    _, out, _ = call("plan", *RUN[1:], "--json")
    assert [item["action"] for item in json.loads(out)].count("missing") == 1
    code, out, err = call("run", "-m", "one", "-t", "toy/first")
    assert (code, out) == (2, "")
    assert f"left out: {place}: not a result" in err


def test_an_unsupported_cell_is_not_written_over_what_is_no_result(call, folder):
    backbone = folder / "backbones" / "t5_toy.yaml"
    assert "unsupported" in call("plan", "-m", "one", "-t", "toy", "-b", backbone.stem)[1]
    place = Path("runs/results/mini.one.toy-first.t5_toy.s0.json")
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    code, _, err = call("run", "-m", "one", "-t", "toy", "-b", backbone.stem)
    assert (code, place.read_text()) == (1, "{}")
    assert "1 unsupported, 1 missing." in err


def test_a_page_that_cannot_be_written_is_named(call, folder, executed):
    executed("unsupported")
    Path("runs/README.md").mkdir(parents=True)
    code, _, err = call(*RUN)
    assert code == 1
    assert "leaderboards not written: runs/README.md: cannot be written (Is a directory)" in err
    assert not list(Path("runs").glob("*.tmp"))


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


def test_offline_fetches_nothing_and_leaves_the_environment_alone(
    call, folder, executed, monkeypatch
):
    def bring(missing):
        raise AssertionError("fetched")

    monkeypatch.setattr("suite.engine.execution.bring", bring)
    executed("unsupported")
    (folder / "backbones" / "mini" / "t5_toy" / "model.safetensors").unlink()
    replace(folder / "backbones" / "t5_toy.yaml", "family: t5", "family: bert")
    before = dict(os.environ)
    assert call(*RUN, "-b", "bert_toy", "t5_toy", "--offline")[0] == 1
    assert dict(os.environ) == before


def test_results_of_code_that_is_not_committed_are_not_published_unseen(
    call, folder, executed, monkeypatch
):
    executed("unsupported")
    monkeypatch.setattr("suite.engine.environment.revision", lambda: ("abc", True))
    subprocess.run(["git", "init", "-q", "."], check=True)
    Path("boards").mkdir()
    assert call(*RUN, "--out", "boards")[0] == 0, "git keeps nothing there"
    subprocess.run(["git", "add", "boards"], check=True)
    code, _, err = call(*RUN, "--out", "boards")
    assert code == 2
    assert "error: --out boards is kept in git, but the code has changes" in err
    assert call(*RUN, "--out", "boards", "--allow-dirty")[0] == 0
    monkeypatch.setattr("suite.engine.environment.revision", lambda: ("abc", False))
    assert call(*RUN, "--out", "boards")[0] == 0


def test_a_run_writes_pages_of_what_it_measured_alone(call, folder, executed):
    track = folder / "tasks" / "toy"
    row = "{method: x, label: X, backbone: t5_toy, score: 80.0, source: Y, verified: true}"
    (track / "published.yaml").write_text(f"- {row}\n")
    executed("failed")
    call(*RUN, "-b", "bert_toy")
    assert sorted(path.name for path in Path("runs").glob("*.md")) == [
        "README.md", "methods.md", "toy-bert_toy-mini.md",
    ]  # fmt: skip
    assert call("leaderboard", "--check")[0] == 0
    call("pack")
    assert Path("runs/toy-t5_toy-mini.md").is_file(), "a published folder shows them"


def test_all_rows_are_written_to_one_file(call, folder, executed):
    executed("failed")
    call(*RUN)
    code, out, _ = call("leaderboard", "--export", "rows.csv")
    assert (code, out) == (0, "rows.csv\n")
    header, *rows = Path("rows.csv").read_text().splitlines()
    assert header.startswith("track,backbone,scale,family,method")
    assert [row.split(",")[4] for row in rows] == ["one", "together"]
    assert call("leaderboard", "--export", "rows.xlsx")[0] == 2
    assert call("leaderboard", "--export", "rows.csv", "--check")[0] == 2
