"""Precisions of a cell: one training for all of them, and what is scored comes from each file."""

import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file
from shell import wait_for
from toy import write_method, write_tasks

import suite
from suite.cli.main import main
from suite.errors import UserError

COUNTED = """
    def phases(self, model):
        with open({log!r}, "a") as file:
            file.write("trained\\n")
        return super().phases(model)
"""
ON_ROUNDED = """
    def load(self, model, tensors):
        heads = [tensor for name, tensor in tensors.items() if name.startswith("heads.")]
        if all(torch.equal(tensor, tensor.bfloat16().float()) for tensor in heads):
            {then}
        super().load(model, tensors)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a registry, and what every test of this file has in common."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        write_tasks(folder)
        for name, then in {
            "counted": "",
            "dies": "os._exit(3)",
            "waits": f"while os.path.exists({str(folder / 'wait')!r}): time.sleep(0.1)",
        }.items():
            more = COUNTED.format(log=str(folder / f"{name}.log"))
            more += ON_ROUNDED.format(then=then) if then else ""
            write_method(folder, name, more=more)
        write_method(
            folder,
            "raises",
            more=COUNTED.format(log=str(folder / "raises.log")),
            penalty='raise ValueError("the moon is full")',
        )
        yield folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture(scope="module")
def run(place, forked):
    def run(method, out, store, **more):
        found = suite.run(
            *(method, "reds"), store=store, out=out, registry=place, jobs=1, quiet=True, **more
        )
        return {result.cell.store.value: result for result in found}

    return run


def trainings(place, method):
    log = place / f"{method}.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def plan(place, method, out, store):
    return suite.plan(method, "reds", store=store, out=out, registry=place).planned


@pytest.fixture(scope="module")
def both(place, run, tmp_path_factory):
    """A method stored in two precisions, from nothing."""
    out = tmp_path_factory.mktemp("both")
    before = trainings(place, "counted")
    results = run("counted", out, "int4,float32")
    return out, results, trainings(place, "counted") - before


def delta(out, result):
    return out / "work" / f"mini.{result.cell.label}" / "delta.safetensors"


def test_one_training_serves_several_precisions(both):
    _, results, trained = both
    assert trained == 1
    assert {store: result.status for store, result in results.items()} == {
        "float32": "ok",
        "int4": "ok",
    }
    exact, rounded = results["float32"], results["int4"]
    assert rounded.train_seconds == exact.train_seconds
    assert rounded.trained_parameters == exact.trained_parameters
    assert rounded.cell.name == "counted[store=int4]"
    assert exact.cell.name == "counted"


def test_the_same_command_has_nothing_left_to_do(place, both):
    assert [item.action for item in plan(place, "counted", both[0], "float32,int4")] == [
        "cached"
    ] * 2


def test_a_further_precision_is_made_from_the_kept_file(place, run, both, out):
    shutil.copytree(both[0], out)
    before = trainings(place, "counted")
    (item,) = plan(place, "counted", out, "bfloat16")
    assert (item.action, item.reason) == ("run", "new, from the trained float32 delta")
    late = run("counted", out, "bfloat16,int4")["bfloat16"]
    assert trainings(place, "counted") == before

    alone = run("counted", out / "alone", "bfloat16")["bfloat16"]
    assert trainings(place, "counted") == before + 1
    assert late.scores == alone.scores
    assert late.ledger == alone.ledger
    assert late.delta == alone.delta
    assert late.train_seconds == both[1]["float32"].train_seconds


def test_without_the_file_the_cell_is_trained(place, both, out):
    shutil.copytree(both[0], out)
    delta(out, both[1]["float32"]).unlink()
    (item,) = plan(place, "counted", out, "int8")
    assert (item.trained, item.reason) == (False, "new")


def test_another_file_in_its_place_is_refused(run, both, out):
    shutil.copytree(both[0], out)
    shutil.copy(delta(out, both[1]["int4"]), delta(out, both[1]["float32"]))
    result = run("counted", out, "int8")["int8"]
    assert result.status == "failed"
    assert "is not the file that counted.colours-reds" in result.reason


def test_a_forced_precision_is_trained_again(place, both):
    made = suite.plan(
        "counted", "reds", store="int4", out=both[0], registry=place, force=True
    ).planned
    assert [(item.reason, item.trained) for item in made] == [("forced", False)]


def test_the_plan_says_whose_training_a_cell_takes(place, out):
    made = plan(place, "counted", out, "binary,float32")
    assert [item.reason for item in made] == ["new, from the training of counted", "new"]


def test_the_file_holds_bfloat16_where_it_holds_no_whole_numbers(both):
    out, results, _ = both
    tensors = load_file(delta(out, results["int4"]))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    exact, rounded = results["float32"].ledger, results["int4"].ledger
    assert rounded.tensor_bytes * 2 == exact.tensor_bytes
    assert 8 * rounded.tensor_bytes == sum(
        tensor.numel() * tensor.element_size() * 8 for tensor in tensors.values()
    )


def test_results_verify_themselves_from_their_files_alone(place, both, capsys):
    where = ["--out", str(both[0]), "--registry", str(place)]
    assert main(["verify", "--rescore", *where]) == 0
    assert "2 results, none wrong" in capsys.readouterr().err


def test_the_frame_has_a_column_for_it(place, both):
    frame = suite.read_results(both[0], registry=place).frame()
    assert {*frame["store"]} == {"float32", "int4"}
    assert {*frame["setting"]} == {"counted", "counted[store=int4]"}


def test_precisions_are_ranked_together(place, both):
    table = suite.read_results(both[0], registry=place).table()
    assert "most rows have" not in table
    assert table.count("counted") == 2


def test_the_page_says_what_it_is_and_how_to_measure_it(place, both):
    where = ["--out", str(both[0]), "--registry", str(place)]
    assert main(["leaderboard", *where]) == 0
    (page,) = both[0].glob("colours-*.md")
    text = page.read_text()
    assert "**store=**: the precision of what is stored" in text
    assert "--methods counted --tasks colours/reds" in text
    assert "--store int4" in text


def test_a_precision_that_fails_is_a_row_of_its_own(place, run, out):
    results = run("dies", out, "float32,int4,binary")
    assert {store: result.status for store, result in results.items()} == {
        "float32": "ok",
        "int4": "failed",
        "binary": "failed",
    }
    assert "exit code 3" in results["int4"].reason
    assert trainings(place, "dies") == 1


def test_a_training_that_fails_fails_once_for_all(place, run, out):
    results = run("raises", out, "float32,int4")
    assert {result.reason for result in results.values()} == {"ValueError: the moon is full"}
    assert trainings(place, "raises") == 1
    for result in results.values():
        assert "the moon is full" in (out / result.log).read_text()


def test_killed_between_two_precisions_nothing_is_trained_again(place, out, start):
    (place / "wait").touch()
    words = ["run", "--registry", str(place), "-m", "waits", "-t", "reds", "--device", "cpu"]
    words += ["--store", "float32,int4,bfloat16", "--out", str(out), "-j", "1", "-q"]
    command = start(*words)
    wait_for(lambda: any((out / "results").glob("*.json")))
    found = list((out / "results").glob("*.json"))
    command.send_signal(signal.SIGKILL)
    command.end()
    kept = [path.read_bytes() for path in found]
    (place / "wait").unlink()
    assert main(words) == 0
    assert trainings(place, "waits") == 1
    assert len(list((out / "results").glob("*.json"))) == 3
    assert [path.read_bytes() for path in found] == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"store": "int3"},
            "--store: 'int3' is not one of float32, .*; there is 'int4'",
        ),
        ({"store": ()}, "--store names no precision"),
        (
            {"options": {"counted.store": "float16"}},
            "--set counted.store=float16: 'float16' is not",
        ),
    ],
)
def test_a_precision_that_does_not_exist_is_refused(place, words, said):
    with pytest.raises(UserError, match=said):
        suite.plan("counted", "reds", registry=place, **words)


def test_one_method_can_have_precisions_of_its_own(place):
    made = suite.plan(
        ["counted", "raises"],
        "reds",
        store="int8",
        options=["counted.store=float32,binary"],
        registry=place,
    )
    names = [item.cell.key.name for item in made.planned]
    assert names == ["counted", "counted[store=binary]", "raises[store=int8]"]


def test_no_option_may_be_called_like_it(place, tmp_path, capsys):
    option = "options: {store: {default: 1, minimum: 1, description: Shelves.}}\n"
    write_method(tmp_path, "shop", yaml=option)
    assert main(["validate", "shop", "--registry", str(tmp_path)]) != 0
    said = capsys.readouterr()
    assert "'store' is the precision of every method's file" in said.out + said.err
