"""The same results give the same bytes, and a page that was edited is named."""

import pytest

from suite.errors import UserError
from suite.leaderboards import build, check, pages

PAGE = "glue-bert_mini-mini.md"


def write(results, folder):
    for result in results:
        result.write(folder / "results")


def test_the_same_results_give_the_same_bytes(registry, make, tmp_path):
    results = [*make.per_task("full", 0.9), *make.joint("hyper", 0.8), *make.per_task("probe", 0.6)]
    assert pages(results, registry) == pages(results[::-1], registry)
    write(results, tmp_path)
    written = build(tmp_path, registry)
    assert tmp_path / "plots" / "glue-bert_mini-mini.svg" in written
    assert check(tmp_path, registry) == []


def test_check_names_what_was_edited_is_missing_or_left_over(registry, make, tmp_path):
    failed = make.cell("probe", "rte", backbone="other", status="failed", reason="broken")
    write([*make.per_task("full", 0.9), failed], tmp_path)
    build(tmp_path, registry)
    edited, missing = tmp_path / PAGE, tmp_path / "plots" / "glue-bert_mini-mini.svg"
    edited.write_text(edited.read_text().replace("| 1 (1", "| 0 (1", 1))
    missing.unlink()
    (tmp_path / "glue-gone-mini.md").write_bytes(edited.read_bytes())
    (tmp_path / "NOTES.md").write_text("mine")
    # A board without a score has none; one of an earlier time goes, though the page stays.
    (tmp_path / "plots" / "glue-other-mini.svg").write_text("<svg/>")
    assert check(tmp_path, registry) == [
        PAGE,
        "glue-gone-mini.md",
        "plots/glue-bert_mini-mini.svg",
        "plots/glue-other-mini.svg",
    ]
    build(tmp_path, registry)
    assert check(tmp_path, registry) == []
    assert (tmp_path / "NOTES.md").read_text() == "mine"


def test_a_result_of_an_unknown_track_is_an_error(registry, make):
    with pytest.raises(UserError, match="no track 'glew'"):
        pages([make.cell("full", "rte", track="glew")], registry)
