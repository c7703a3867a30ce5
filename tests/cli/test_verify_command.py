import json

import pytest
from few import few_examples

import suite
from suite.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forked):
    """Results of two short cells, with their deltas."""
    out = tmp_path_factory.mktemp("verified")
    with pytest.MonkeyPatch.context() as patch:
        few_examples(patch, tmp_path_factory.mktemp("cache"))
        suite.run("linear_probe", "rte,stsb", "bert_mini", steps=3, jobs=1, out=out, quiet=True)
        yield out


@pytest.fixture
def result(folder):
    """The file of one result, and what it held."""
    (path,) = (folder / "results").glob("*rte*.json")
    before = path.read_text()
    yield path
    path.write_text(before)


def verify(folder, *more):
    return main(["verify", "--out", str(folder), *more])


def test_what_was_run_here_is_borne_out_by_its_deltas(folder, capsys):
    assert verify(folder, "--rescore") == 0
    assert "2 results, none wrong" in capsys.readouterr().err


def test_an_edited_score_is_named(folder, result, capsys):
    content = json.loads(result.read_text())
    content["scores"][0]["score"] = 99.9
    result.write_text(json.dumps(content))
    assert verify(folder) == 1
    assert "score is 99.9" in capsys.readouterr().out


def test_an_edited_identity_is_named(folder, result, capsys):
    content = json.loads(result.read_text())
    content["identity"]["recipe"] = "0" * 64
    result.write_text(json.dumps(content))
    assert verify(folder) == 1
    assert "identity.digest is not that of its parts" in capsys.readouterr().out


def test_answers_that_the_delta_does_not_give_are_found_by_scoring_it_again(folder, result, capsys):
    content = json.loads(result.read_text())
    score = content["scores"][0]
    score["predictions"] = score["targets"]
    score["metrics"], score["score"] = {"accuracy": 100.0}, 100.0
    result.write_text(json.dumps(content))
    assert verify(folder) == 0
    assert verify(folder, "--rescore") == 1
    assert "rte: the delta answers" in capsys.readouterr().out


def test_another_file_in_the_place_of_the_delta_is_named(folder, result, capsys):
    content = json.loads(result.read_text())
    content["delta"] = "0" * 64
    result.write_text(json.dumps(content))
    assert verify(folder, "--rescore") == 1
    assert "is not the file that was scored" in capsys.readouterr().out


def test_a_cell_that_is_not_there_is_a_mistake(folder, capsys):
    assert verify(folder, "nothing*") == 2
    assert "no such result" in capsys.readouterr().err
