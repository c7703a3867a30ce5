import json
import re
import subprocess

import pytest
from planned import write_results
from registries import replace

from suite.method.load import load_method
from suite.registry import load


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


def test_show_prints_where_a_method_departs_from_its_paper(call, folder):
    stated = "departures:\n  - differs: Starts at zero.\n    costs: Nothing.\ncost:"
    replace(folder / "methods" / "one.yaml", "cost:", stated)
    assert "differs: Starts at zero.\n      costs: Nothing.\n" in call("show", "one")[1]
    replace(folder / "methods" / "one.yaml", "    costs: Nothing.\n", "")
    code, _, err = call("show", "one")
    assert code == 2
    assert "departures[0].costs: required key is missing" in err


def test_why_names_what_changed_since(call, folder):
    label = write_results(folder)[0].cell.label
    assert "the same identity" in call("why", label)[1]
    replace(folder / "methods" / "one.py", "NotImplementedError", "ValueError")
    code, out, _ = call("why", label)
    assert code == 0
    assert "today     code changed: method" in out
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


def test_a_task_on_data_of_ones_own_is_checked_where_they_are(call, folder, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setenv("SUITE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    assert call("new", "task", "own/mood", "--scale", "full")[0] == 0
    assert call("validate", "own/mood", "own")[0] == 0
    assert not [*folder.glob("tasks/own/*.py")]
    assert load(folder).tracks["own"].backbones == {"full": ("minilm",)}
    code, out, err = call("check", "own/mood")
    assert (code, out) == (2, "")
    assert "mood has no mini source, and of its full one:" in err
    assert "data set owner/data-set (default) of task own/mood not found" in err
    for split, count in (("train", 90), ("validation", 60), ("test", 60)):
        rows = {
            "sentence": [f"{split} {i}" for i in range(count)],
            "label": [int(i % 20 == 0) if split == "test" else i % 2 for i in range(count)],
        }
        file = tmp_path / f"data/datasets/owner/data-set/default/{split}-00000-of-00001.parquet"
        datasets.Dataset.from_dict(rows).to_parquet(file)
    code, out, _ = call("check", "own/mood")
    assert code == 1
    assert "full      files are read and split             ok" in out
    assert "full      is not one class                     FAULT one class is 95% of test" in out


def test_a_method_is_checked_on_every_embedded_family_that_has_what_it_needs(
    call, folder, monkeypatch
):
    tried = []
    monkeypatch.setattr(
        "suite.contract.methods.check_method",
        lambda entry, registry, family: tried.append(family) or (),
    )
    call("new", "method", "mine")
    call("check", "mine")
    assert tried == ["bert", "vit"], "not t5, which its YAML rules out, nor what has no such sites"
    file = folder / "methods" / "mine.yaml"
    replace(file, "needs: [feed_forward]\n", "")
    replace(file, "families: [vit, bert]", "families: [gpt2]")
    code, _, err = call("check", "mine")
    assert code == 2
    assert "mine is defined on no family with an embedded backbone (" in err


def test_new_says_what_to_type_next(call, folder, tmp_path):
    _, _, err = call("new", "task", "demo/one", "--registry", str(tmp_path / "mine"))
    following = err.partition("then: ")[2].strip().split(" && ")
    for command in following:
        words = command.removeprefix("python -m suite ").split()
        assert call(*words)[0] == 0, command


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


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("rows[:512]", "rows[:0]", "train has no examples"),
        ("in row[1:]", "in row[9]", "make() of one.py raises IndexError"),
        ("return Splits(", "return str(Splits(", "make() of one.py returns str, not Splits"),
        ("PCG64(0)", "PCG64()", "makes other data at every call: seed what it draws from"),
        ("dtype=np.int64", "dtype=np.float32", "label of train must be whole numbers"),
        ("import numpy as np", "import numpyy as np", "one.py:4: cannot be imported"),
        ('"sentence":', '"words":', "train has the columns ['label', 'words']"),
    ],
)
def test_check_names_what_is_wrong_with_a_generator(call, folder, old, new, fault):
    call("new", "task", "demo/one")
    task = folder / "tasks" / "demo" / "one.yaml"
    replace(task.with_suffix(".py"), old, new)
    if "str(" in new:
        replace(task.with_suffix(".py"), "rows[640:896]))", "rows[640:896])))")
    out = call("check", "demo/one")[1]
    found = re.search(r"made data with digest (\w+), but .* is (\w+)\.", out)
    if found:
        replace(task, found[2], found[1])
        code, out, _ = call("check", "demo/one")
        assert code == 1
    assert fault in out


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
