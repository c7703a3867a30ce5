"""Published results stand apart, with their source and the gap to what was measured."""

from board import only, page, section

from suite.leaderboards import pages


def test_published_rows_stand_apart_with_their_source(registry, make):
    files = pages([], registry)
    text, index = files["glue-t5_base-full.md"].decode(), files["README.md"].decode()
    assert "## Ranking" not in text
    published = section(text, "Published results")
    assert "published (unverified)" in published
    assert "Somebody 2021, table 1" in published
    assert "[glue on t5_base, full scale](glue-t5_base-full.md)" in index


def test_the_gap_to_a_published_result_of_the_same_method_is_printed(registry, make):
    glue = registry.tracks["glue"]
    row = make.published("full", "bert_mini", score=80.0, verified=True)
    registry.tracks["glue"] = glue.model_copy(update={"published": (row,)})
    results = make.per_task("full", 0.9)
    published = section(page(results, registry), "Published results")
    assert f"{only(results, registry).ranked[0].score - 80:+.1f}" in published
    assert "unverified)" not in published
