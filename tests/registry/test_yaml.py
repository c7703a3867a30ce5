from pathlib import Path

import pytest

from suite.registry.yaml import Document, read


def parse(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return read(path)


def only_problem(tmp_path: Path, text: str) -> str:
    (problem,) = parse(tmp_path, text).problems
    return f"{problem.line}:{problem.column}: {problem.key}: {problem.message}"


def test_scalars_are_those_of_yaml_1_2(tmp_path):
    document = parse(
        tmp_path,
        "{a: no, b: 1e-3, c: 12, d: true, e: ~, f: 2024-01-01, g: 1_000, h: 0x1f, i: .5, j: off}",
    )
    assert document.data == {
        "a": "no", "b": 0.001, "c": 12, "d": True, "e": None, "f": "2024-01-01", "g": "1_000",
        "h": "0x1f", "i": 0.5, "j": "off",
    }  # fmt: skip
    assert type(document.data["b"]) is float
    assert type(document.data["c"]) is int


def test_every_key_and_value_has_its_place(tmp_path):
    document = parse(tmp_path, "a: 1\nb:\n  - x: 2\n    yy: [3, 4]\n")
    assert document.keys["b", 0, "yy"] == (4, 5)
    assert document.values["b", 0, "yy", 1] == (4, 13)


def test_a_duplicate_key_names_both_lines(tmp_path):
    text = "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n"
    assert only_problem(tmp_path, text) == "5:3: b.c: duplicate key, first on line 3"


def test_all_duplicates_are_found_at_once(tmp_path):
    document = parse(tmp_path, "a: 1\na: 2\nb: 1\nb: 2\n")
    assert [problem.line for problem in document.problems] == [2, 4]


def test_a_tab_is_named_where_it_stands(tmp_path):
    assert only_problem(tmp_path, "a:\n\tb: 1\n").startswith("2:1: : a tab cannot indent YAML")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: !!python/object/apply:os.system ['true']\n", "1:4: a: the tag"),
        ("a: 1\nb: !custom 2\n", "2:4: b: the tag"),
        ("a: !!binary aGk=\n", "1:4: a: the tag"),
        ("a: !!int abc\n", "1:4: a: 'abc' has the tag 'int' and is none"),
        ("a: !!int 1.5\n", "1:4: a: '1.5' has the tag 'int' and is none"),
        ("a: !!bool maybe\n", "1:4: a: 'maybe' has the tag 'bool' and is none"),
    ],
)
def test_a_tag_is_refused_and_runs_nothing(tmp_path, text, place):
    assert only_problem(tmp_path, text).startswith(place)


def test_an_alias_is_refused_so_that_no_document_can_explode(tmp_path):
    text = "a: &x [1, 2]\nb: *x\n"
    assert "anchors and aliases" in only_problem(tmp_path, text)


def test_unfinished_text_is_a_problem_with_its_line(tmp_path):
    assert only_problem(tmp_path, "a: [1, 2\nb: 3\n").startswith("2:2: : not YAML")


def test_an_empty_file_is_a_problem(tmp_path):
    assert only_problem(tmp_path, "# nothing\n") == "1:1: : the file is empty"


def test_bytes_that_are_no_text_are_a_problem(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe\n")
    (problem,) = read(path).problems
    assert (problem.line, problem.column) == (2, 4)
    assert "not UTF-8" in problem.message


@pytest.mark.parametrize("number", ["1e999", "9" * 5000])
def test_a_number_beyond_all_bounds_is_a_problem(tmp_path, number):
    assert only_problem(tmp_path, f"a: {number}\n") == "1:4: a: the number is too large"


def test_a_folder_in_the_place_of_a_file_is_a_problem(tmp_path):
    (tmp_path / "file.yaml").mkdir()
    assert "cannot be read" in read(tmp_path / "file.yaml").problems[0].message
