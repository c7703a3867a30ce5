"""Whatever lies among the results, the others are read, packed and counted."""

import json
import os
import random

import pytest
from made import result, write

from suite.results.folder import Lookup, read_history, read_results
from suite.results.packing import pack
from suite.results.packs import merged
from suite.results.records import Result
from suite.results.searches import read_searches
from suite.results.shares import shares

TOKENS = (
    "null", "NaN", "-1e999", "9" * 5000, "[" * 100, '"\\ud800"', "{}", "[]", "\0", "\x1b", '"', ",",
    "<<<<<<", "true", '{"cell":', "\n", "\udcff",
)  # fmt: skip
FOREIGN = {
    "list": b"[]",
    "number": b"1" * 5000,
    "nothing": b"",
    "null": b"null",
    "deep": b"[" * 200_000,
    "deep.maps": b'{"cell":' * 100_000,
    "surrogate": b'{"cell": "\\ud800"}',
    "bytes": bytes(range(256)),
    "other": b'{"name": "package", "version": "1.0"}',
}


@pytest.fixture
def others(tmp_path):
    write(tmp_path, result("lora"), result("taps"))
    return tmp_path


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_named_and_left(others, name):
    path = others / "results" / f"{name}.json"
    path.write_bytes(FOREIGN[name])
    for read in (read_results, read_history):
        found = read(others)
        assert len(found) == 2
        (left,) = found.left_out
        assert left.place.endswith(path.name) and "\n" not in left.reason
    assert len(pack(others).left) == 1
    assert path.read_bytes() == FOREIGN[name]


def test_pipes_and_folders_are_not_waited_for(others):
    os.mkfifo(others / "results" / "pipe.json")
    (others / "results" / "folder.json").mkdir()
    (others / "results" / "endless.json").symlink_to("/dev/zero")
    assert [each.reason for each in read_results(others).left_out] == ["not a regular file"] * 3


def test_a_foreign_line_of_a_pack_is_named_and_kept(others):
    pack(others)
    (path,) = (others / "data").glob("*.jsonl")
    line = next(line for line in path.read_text().split("\n") if line.startswith('{"cell":'))
    foreign = [line[:-20].replace("taps", "cut").replace("lora", "cut"), '{"cell":{},"scores":7}']
    path.write_text("".join(f"{each}\n" for each in [*path.read_text().split("\n")[:-1], *foreign]))
    found = read_results(others)
    assert len(found) == 2 and len(found.left_out) == 2
    assert {*foreign} <= {*merged(path.read_text().split("\n"))}


@pytest.mark.parametrize("seed", range(20))
def test_mutated_results_are_results_or_named(others, seed):
    rng = random.Random(seed)
    changed = result("bitfit")
    path = others / "results" / changed.cell.file_name
    whole = json.dumps(changed.model_dump(mode="json"))
    for _ in range(20):
        at = rng.randrange(len(whole))
        end = min(len(whole), at + rng.choice((0, 1, 5, 50)))
        text = whole[:at] + rng.choice(TOKENS) + whole[end:]
        path.write_bytes(text.encode(errors="surrogateescape"))
        found = read_results(others)
        assert len(found) + len(found.left_out) == 3
        assert "\n" not in "".join(each.reason for each in found.left_out)
        assert Lookup(others, Result).get(result("lora").cell) == result("lora")


NUMBERS = {
    "nan": ("scores.0.metrics.accuracy", float("nan"), "should be a finite number"),
    "infinite": ("scores.0.score", float("inf"), "should be a finite number"),
    "answer": ("scores.0.predictions.2", float("-inf"), "scores.0.predictions.2"),
    "huge answer": ("scores.0.targets.1", 10**400, "scores.0.targets.1"),
    "huge sum": ("scores.0.validation_score", 10**400, "scores.0.validation_score"),
    "time": ("train_seconds", float("nan"), "should be a finite number"),
    "fact": ("facts", {"kept": float("inf")}, "should be a finite number"),
    "rate": ("recipe.learning_rate", float("nan"), "recipe.learning_rate"),
    "answers less": ("scores.0.predictions", [0, 1], "2 predictions of 5 targets"),
    "no answers": ("scores.0", {"predictions": [], "targets": []}, "0 predictions of 0 targets"),
    "ragged": ("scores.0.predictions", [[0], 1, 1, 0, 1], "rows of several lengths"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_a_result_with_numbers_that_are_none_is_named_and_left_out(others, case):
    place, value, said = NUMBERS[case]
    changed = result("bitfit")
    content = changed.model_dump(mode="json")
    *folders, last = place.split(".")
    holder = content
    for key in folders:
        holder = holder[int(key) if key.isdigit() else key]
    if isinstance(value, dict) and last.isdigit():
        holder[int(last)] |= value
    else:
        holder[int(last) if last.isdigit() else last] = value
    path = others / "results" / changed.cell.file_name
    path.write_text(json.dumps(content))
    found = read_results(others)
    assert len(found) == 2
    (left,) = found.left_out
    assert left.place.endswith(path.name) and said in left.reason


def searched(method, **change):
    trial = {"learning_rate": 1e-3, "scores": {"rte": 1.0}, "score": 1.0} | change
    return json.dumps({
        "schema_version": 1, "method": method, "backbone": "b", "scale": "mini", "track": "t",
        "tasks": ["a"], "seeds": [100], "steps": 5, "trials": [trial],
    })  # fmt: skip


NO_SEARCHES = {
    **FOREIGN,
    "nan": searched("nan", score=float("nan")).encode(),
    "inf": searched("inf", learning_rate=float("inf")).encode(),
    "minus": searched("minus", learning_rate=-1.0).encode(),
    "copy": searched("taps").encode(),
}


@pytest.mark.parametrize("name", NO_SEARCHES)
def test_what_is_no_search_is_named_and_left_and_the_others_are_read(tmp_path, name):
    folder = tmp_path / "tuning"
    folder.mkdir()
    for method in ("lora", "taps"):
        (folder / f"mini.{method}.t.b.json").write_text(searched(method))
    path = folder / f"mini.{name}.t.b.json"
    path.write_bytes(NO_SEARCHES[name])
    before = read_searches(tmp_path)
    assert [each.method for each in before.found] == ["lora", "taps"]
    (left,) = before.left_out
    assert left.place.endswith(path.name) and "\n" not in left.reason
    assert pack(tmp_path).left[0].place == left.place
    assert [*folder.iterdir()] == [path] and path.read_bytes() == NO_SEARCHES[name]
    assert read_searches(tmp_path).found == before.found


def test_a_line_of_a_pack_that_is_no_search_is_named_and_kept(tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "tuning.jsonl"
    foreign = '{"name": "package"}'
    path.write_text("\n".join([searched("taps"), foreign, searched("lora"), ""]))
    found = read_searches(tmp_path)
    assert [each.method for each in found.found] == ["lora", "taps"]
    assert [each.place.rpartition("/")[2] for each in found.left_out] == ["tuning.jsonl:2"]
    pack(tmp_path)
    assert foreign in path.read_text().splitlines()
    assert read_searches(tmp_path).found == found.found


def test_a_name_that_is_no_text_is_named_like_any_other(others):
    path = others / "results" / os.fsdecode(b"good.\xff.json")
    path.write_text("{}")
    (share,) = (each for each in shares(others) if path.name in each.singles)
    assert len(share.read().left_out) == 1
