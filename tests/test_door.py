"""From Python: what the command line does, with values in place of words."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
from registries import write_registry
from shell import environment
from toy import write_method, write_tasks

import suite
from suite.method import Method

LIGHT = ("torch", "pandas", "pydantic", "numpy", "matplotlib")


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, suite; sys.exit(str([m for m in {LIGHT} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert {*suite.__all__} >= {"plan", "run", "read_results", "load_delta", "as_method"}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_registry(tmp_path / "registry")


@pytest.mark.parametrize(
    ("methods", "tasks", "seeds"),
    [
        ("one,together", "toy", "0 1"),
        (["one", "together"], ["toy/first", "toy/second"], range(2)),
        (("tog*", "one"), "first,second", [0, 1, 1]),
    ],
)
def test_names_and_seeds_are_texts_lists_or_ranges(toy, methods, tasks, seeds):
    made = suite.plan(methods, tasks, seeds=seeds, registry=toy)
    frame = made.frame()
    assert len(frame) == 6
    assert {*frame["method"]} == {"one", "together"}
    assert [*frame[frame["method"] == "together"]["seed"]] == [0, 1]
    assert {*frame["action"]} == {"run"}
    assert not Path("runs").exists()


def test_a_plan_reads_like_the_one_of_the_command_line(toy, capsys):
    from suite.cli.main import main

    made = suite.plan("one", "toy", registry=toy)
    assert main(["plan", "-m", "one", "-t", "toy", "--registry", str(toy)]) == 0
    assert repr(made) == capsys.readouterr().out + "2 to run"


def test_options_and_recipe_are_changed_by_name(toy):
    given = {"one.rank": 3, "one.placement": "feed_forward"}
    made = suite.plan("one", "first", steps=7, batch_size=5, options=given, registry=toy)
    cell = made.planned[0].cell
    assert dict(cell.options) == {"rank": 3, "placement": "feed_forward"}
    assert (cell.recipe.steps, cell.recipe.batch_size) == (7, 5)
    same = suite.plan("one", "first", options="one.rank=3", registry=toy).planned[0].cell
    assert same.options["rank"] == 3
    several = suite.plan("one", "first", options={"one.rank": [3, 4]}, registry=toy)
    assert [item.cell.options["rank"] for item in several.planned] == [3, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"methods": "onne"}, "unknown method 'onne'; did you mean 'one'?"),
        ({"methods": ""}, "--methods names no method"),
        ({"methods": [3]}, "3 is no method: derive a class from suite.method.Method"),
        ({"methods": None}, "--methods: must be names, classes or a list of them, not None"),
        ({"methods": [dict]}, "is no method: derive a class"),
        ({"methods": Method}, "Method does not define adapt(self, backbone, tasks)"),
        ({"tasks": "toi"}, "unknown task or track 'toi'; did you mean 'toy'?"),
        ({"backbones": "bert_toi"}, "unknown backbone 'bert_toi'; did you mean 'bert_toy'?"),
        ({"backbones": ","}, "--backbones names no backbone"),
        ({"seeds": "x"}, "--seeds: whole numbers and ranges such as 0-4, not 'x'"),
        ({"seeds": 0.5}, "--seeds: whole numbers and ranges such as 0-4, not '0.5'"),
        ({"seeds": []}, "--seeds: give at least one number, none below 0"),
        ({"scale": "big"}, "--scale: must be mini or full, not 'big'"),
        ({"steps": 0}, "--steps: must be a whole number from 1 to 1,000,000,000, not '0'"),
        (
            {"batch_size": 1.5},
            "--batch-size: must be a whole number from 1 to 1,000,000, not '1.5'",
        ),
        (
            {"precision": "bfloat"},
            "--precision: must be auto or float32 or bfloat16, not 'bfloat'; did you mean",
        ),
        ({"options": {"one.rnk": 1}}, "one has no option 'rnk'; did you mean 'rank'?"),
        ({"options": {"one.rank": "x"}}, "must be a whole number, not 'x'"),
        ({"tasks": 3}, "--tasks: must be a text or a list of texts, not 3"),
        ({"tasks": ["toy", None]}, "--tasks: must be a text or a list of texts, not ['toy', None]"),
        ({"backbones": None}, "--backbones: must be a text or a list of texts, not None"),
        ({"store": 8}, "--store: must be a text or a list of texts, not 8"),
        ({"options": None}, "--set: must be a text or a list of texts, not None"),
        ({"options": {"one.rank": [2, "x"]}}, "must be a whole number, not 'x'"),
        ({"force": "no"}, "--force: must be True or False, not 'no'"),
        ({"only_failed": 1}, "--only-failed: must be True or False, not 1"),
        ({"registry": "nowhere"}, "nowhere is not a registry"),
        ({"registry": 3}, "--registry: must be a path, as text or pathlib.Path, not 3"),
        ({"device": "gpu"}, "--device: must be auto, cpu, cuda or cuda:N, not 'gpu'"),
        ({"jobs": 0}, "--jobs: must be a whole number from 1, not '0'"),
        ({"timeout": -1}, "--timeout: must be a number of seconds above 0, not '-1'"),
        ({"out": "registry/methods/one.yaml"}, "cannot write results there"),
        ({"out": None}, "--out: must be a path, as text or pathlib.Path, not None"),
        ({"fail_fast": 1}, "--fail-fast: must be True or False, not 1"),
        ({"quiet": "yes"}, "--quiet: must be True or False, not 'yes'"),
    ],
)
def test_a_mistake_is_a_user_error_with_the_message_of_the_command_line(toy, words, message):
    given = {"methods": "one", "tasks": "toy", "registry": toy, **words}
    with pytest.raises(suite.UserError) as error:
        suite.run(**given)
    assert message in str(error.value)
    assert not Path("runs", "results").is_dir() or not [*Path("runs", "results").iterdir()]


def test_a_folder_without_results_is_named(toy):
    with pytest.raises(suite.UserError, match="nothing: there are no results"):
        suite.read_results("nothing")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"path": None}, "path: must be a path"),
        ({"path": "nothing"}, "nothing: there is no such file"),
        ({"path": "nothing", "device": "gpu"}, "--device: must be auto, cpu, cuda or cuda:N"),
        ({"path": "nothing", "registry": 3}, "--registry: must be a path"),
        ({"path": "nothing", "method": "one"}, "method: give the class"),
    ],
)
def test_what_no_model_can_be_read_from_is_named(toy, words, message):
    with pytest.raises(suite.UserError) as error:
        suite.load_delta(**words)
    assert message in str(error.value)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good")
    write_method(folder, "raises", penalty='raise ValueError("the moon is full")')
    write_method(folder, "refuses", adapt='raise Unsupported("not on a Friday")')
    return folder


class Norms(Method):
    """Trains norms and a head."""

    def adapt(self, backbone, tasks):
        from suite.method import adapted, context_of

        context = context_of(tasks)
        backbone.specialise(backbone.of_kind("norm"), context)
        return adapted(backbone, tasks, context)


@pytest.fixture(scope="module")
def ran(registry, tmp_path_factory, forked):
    """One run of good and of failing methods, and of a class: (results, output folder)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("out")
        results = suite.run(
            ["good", "raises", "refuses", Norms], "reds,blues",
            registry=registry, out=out, jobs=2, steps=4, quiet=True,
        )  # fmt: skip
        yield results, out


def test_a_run_gives_the_cells_that_were_asked_for_and_failures_are_rows(ran):
    results, _ = ran
    frame = results.frame()
    assert len(results) == len(frame) == 8
    status = frame.set_index(["method", "task"])["status"]
    assert {*status["good"]} == {*status["norms"]} == {"ok"}
    assert {*status["raises"]} == {"failed"}
    assert {*status["refuses"]} == {"unsupported"}
    failed = frame[frame["status"] == "failed"]
    assert failed["reason"].str.contains("the moon is full").all()
    assert failed["score"].isna().all()
    assert "2 failed" in repr(results)
    assert (
        "raises[steps=4].colours-reds.resnet_mini.s0: failed: ValueError: the moon is full"
        in repr(results)
    )


def test_a_class_computes_what_the_same_method_in_a_file_computes(ran):
    results, _ = ran
    frame = results.frame()
    good, own = (frame[frame["method"] == name].set_index("task") for name in ("good", "norms"))
    for column in ("score", "low", "high", "task_bits", "head_bits", "stored_x", "trained"):
        assert [*good[column]] == [*own[column]], column
    assert good["closed_form"].all()
    assert not own["closed_form"].any()
    assert "norms[steps=4] (no closed form)" in {*own["setting"]}


def test_a_worker_computes_what_a_cell_computes_without_one(ran, registry, tmp_path):
    """The code of workers is no part of an identity: it may set nothing that changes a result."""
    import torch

    from suite.engine.cell import run_cell
    from suite.engine.workspace import Workspace

    results, _ = ran
    wanted = next(r for r in results if r.cell.method == "good" and r.cell.tasks == ("reds",))
    made = suite.plan("good", "reds", steps=4, registry=registry, out=tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        workspace = Workspace(results.registry, torch.device("cpu"), 1)
        found = run_cell(made.planned[0].cell, workspace, tmp_path, lambda step, steps: None)
    finally:
        torch.set_num_threads(threads)
    assert found.delta == wanted.delta
    assert found.scores == wanted.scores


def test_results_are_read_again_from_their_folder(ran, registry):
    results, out = ran
    again = suite.read_results(out, registry=results.registry)
    first, second = (r.frame().sort_values(["method", "task"]) for r in (results, again))
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))
    unknown = suite.read_results(out, registry=registry).frame()
    assert {*unknown[unknown["method"] == "norms"]["status"]} == {"ok"}


def test_what_has_a_result_is_not_run_again(ran, registry, monkeypatch, tmp_path):
    results, out = ran
    # No worker can be started.
    monkeypatch.setattr("suite.engine.executors.local.start_worker", None)
    again = suite.run("good", "reds", steps=4, registry=registry, out=out, quiet=True)
    assert [r.identity.digest for r in again] == [
        r.identity.digest for r in results if r.cell.method == "good" and r.cell.tasks == ("reds",)
    ]


def test_cells_that_a_run_did_not_reach_are_rows(ran, registry, monkeypatch):
    monkeypatch.setattr("suite.engine.execution.drain", lambda *_, **__: None)
    _, out = ran
    results = suite.run("good", "reds", seeds=[0, 5], steps=4, registry=registry, out=out)
    frame = results.frame()
    assert [*frame["status"]] == ["ok", "not run"]
    assert "1 without a result" in repr(results)


def test_every_value_of_a_table_can_be_grouped_by(toy, monkeypatch):
    monkeypatch.setattr("suite.engine.execution.drain", lambda *_, **__: None)
    options = {"one.rank": 3}
    frame = suite.run("one", "toy", seeds=[0, 1], options=options, registry=toy).frame()
    assert {*frame["options"]} == {"rank=3, placement=both"}
    assert len(frame.drop_duplicates()) == 4
    assert len(frame.drop_duplicates(frame.columns.drop("seed"))) == 2


def test_the_delta_of_a_cell_answers_new_images(ran, registry):
    import numpy as np

    results, _ = ran
    frame = results.frame().set_index(["method", "task"])
    image = np.zeros((30, 40, 3), np.uint8)
    model = suite.load_delta(frame.loc[("good", "reds"), "delta"], registry=registry, device="cpu")
    assert {*model.predict([image, image])} <= {"little", "much"}
    path = Path(frame.loc[("norms", "reds"), "delta"])
    with pytest.raises(suite.UserError, match="no method 'norms'; pass the class as method="):
        suite.load_delta(path, registry=registry, device="cpu")
    own = suite.load_delta(path.parent, method=Norms, registry=registry, device="cpu")
    assert own.predict([image]) == model.predict([image])


def test_a_script_needs_no_guard_and_a_broken_off_run_continues(registry, tmp_path):
    """Workers do not run the script again; Ctrl-C is an exception that leaves finished cells."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import os, signal, suite, suite.engine.execution as execution
            words = dict(registry={str(registry)!r}, out="o", steps=4, quiet=True, jobs=1)
            class Stop(execution.make_progress(0, True).__class__):
                def finished(self, result):
                    os.kill(os.getpid(), signal.SIGINT)
            execution.make_progress = lambda *_: Stop(0)
            try:
                suite.run("good", "reds,blues", **words)
            except KeyboardInterrupt:
                print("stopped with", len(suite.read_results("o", registry=words["registry"])))
        """)
    )
    here = str(Path(suite.__file__).parents[1])
    env = environment(tmp_path / "cache") | {"PYTHONPATH": here}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=env,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout == "stopped with 1\n", done.stderr
    assert done.stderr == ""
