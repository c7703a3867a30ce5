"""Reading a folder: all of it, or single cells; what is no result disturbs nobody."""

import os

import pytest
from made import result, write

from suite.errors import UserError
from suite.results.files import LARGEST_BYTES
from suite.results.folder import Lookup, read_history, read_results
from suite.results.history import Past
from suite.results.packing import pack
from suite.results.records import Result


def huge(path):
    with path.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)


FOREIGN = {
    "empty": lambda path: path.write_text(""),
    "other": lambda path: path.write_text("{}"),
    "list": lambda path: path.write_text("[]"),
    "cut off": lambda path: path.write_text('{"cell": '),
    "newer": lambda path: path.write_text(
        result().model_dump_json().replace('"schema_version":1', '"schema_version":99', 1)
    ),
    "binary": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "deep": lambda path: path.write_text('{"cell":' + "[" * 100_000),
    "huge": huge,
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "dangling": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_result_is_left_out_and_in_the_way_of_its_own_cell_alone(tmp_path, foreign):
    results = [result(), result("adapters")]
    write(tmp_path, *results)
    place = result("lora").cell
    foreign(tmp_path / "results" / place.file_name)
    for read in (read_results, read_history):
        found = read(tmp_path)
        assert {each.cell for each in results} == set(found)
    for kind in (Result, Past):
        lookup = Lookup(tmp_path, kind)
        assert lookup.get(results[0].cell).cell == results[0].cell
        if (tmp_path / "results" / place.file_name).exists():
            assert found.warning.count(place.file_name) == 1
            with pytest.raises(UserError, match=r"lora.*move it away or delete it"):
                lookup.get(place)


def test_many_foreign_files_are_one_short_warning(tmp_path):
    write(tmp_path, result())
    for number in range(30):
        (tmp_path / "results" / f"{number:02}.json").write_text("{}")
    lines = read_results(tmp_path).warning.splitlines()
    assert lines[0].startswith("warning: left out")
    assert lines[-1] == "  and 20 more"
    assert len(lines) == 12


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path, monkeypatch):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UserError, match=r"results: cannot be read \(Permission denied\)"):
        read_results(tmp_path)


def test_the_packs_of_other_boards_are_not_read_for_a_cell(tmp_path):
    write(tmp_path, result(), result("elsewhere", backbone="t5_mini"))
    pack(tmp_path)
    (tmp_path / "data" / "glue.t5_mini.mini.jsonl").write_text("<<<<<<< ours\n")
    lookup = Lookup(tmp_path, Result)
    assert lookup.get(result().cell) == result()
    with pytest.raises(UserError, match="a merge left two sides"):
        lookup.get(result("elsewhere", backbone="t5_mini").cell)


def test_a_cell_without_a_result_is_none(tmp_path):
    lookup = Lookup(tmp_path / "nowhere", Past)
    assert lookup.get(result().cell) is None
    write(tmp_path, result())
    pack(tmp_path)
    assert Lookup(tmp_path, Past).get(result("lora").cell) is None


def test_results_are_in_the_order_of_their_file_names(tmp_path):
    results = [result(name, seed=seed) for name in ("b", "a") for seed in (10, 9)]
    write(tmp_path, *results[:2])
    pack(tmp_path)
    write(tmp_path, *results[2:])
    names = [cell.file_name for cell in read_results(tmp_path)]
    assert names == sorted(each.cell.file_name for each in results)
