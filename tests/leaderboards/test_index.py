"""The first page: which method at which budget, and what is not known."""

import re

import pytest

from suite.leaderboards import pages
from suite.registry.schema import Recipe, Scale
from suite.results.searches import Search, Trial


def index(results, registry, searches=()):
    return pages(results, registry, searches)["README.md"].decode()


def tables(text):
    """Every table of a page: a list of rows, each a mapping from column to cell."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        header, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


@pytest.fixture
def results(make):
    """Stored ×: full 3.03, hyper 0.39, probe 0.03."""
    return [
        *make.per_task("full", 0.95, own=1000),
        *make.joint("hyper", 0.8, shared=300, own=20),
        *make.joint("shared", 0.8, shared=250, own=20),
        *make.per_task("probe", 0.6, own=0),
    ]


def test_every_board_names_its_best_method_within_each_budget(registry, results):
    (row,) = tables(index(results, registry))[0]
    assert row["board"] == "[glue on bert_mini](glue-bert_mini-mini.md)"
    assert row["family"] == "bert"
    assert row["≤ 0.01×"] == "–"
    assert re.fullmatch(r"probe \d\d\.\d @ 0\.030×", row["≤ 0.1×"])
    assert re.fullmatch(r"(hyper|shared) \d\d\.\d @ 0\.3\d0×, = 1 more", row["≤ 1×"])
    assert re.fullmatch(r"\*\*full\*\* \d\d\.\d @ 3\.03×", row["any size"])
    assert float(row["detects"]) > 0


def test_a_method_that_may_be_the_best_of_the_board_is_bold_at_its_budget(registry, make):
    results = [*make.per_task("full", 0.8, own=1000), *make.per_task("probe", 0.8, own=0)]
    (row,) = tables(index(results, registry))[0]
    assert row["≤ 0.1×"].startswith("**probe**")
    assert row["any size"].endswith("= 1 more")


def test_the_table_over_boards_counts_those_where_a_method_is_among_the_best(registry, make):
    results = []
    for backbone, hyper in {"bert_mini": 0.8, "other": 0.6}.items():
        results += [
            *make.per_task("full", 0.95, own=1000, backbone=backbone),
            *make.joint("hyper", hyper, shared=300, own=20, backbone=backbone),
            *make.per_task("probe", 0.7, own=0, backbone=backbone),
        ]
    results += make.per_task("odd", 0.5, own=10)
    text = index(results, registry)
    rows = {row["method"]: row for row in tables(text)[1]}
    assert list(rows) == ["full", "probe", "hyper"]
    assert [rows["full"][key] for key in ("boards", "outscores %", "≤ 1×", "any size")] == [
        "2", "100", "–", "2 of 2",
    ]  # fmt: skip
    assert (rows["probe"]["≤ 0.1×"], rows["probe"]["≤ 1×"]) == ("2 of 2", "1 of 2")
    assert (rows["hyper"]["≤ 0.1×"], rows["hyper"]["≤ 1×"]) == ("–", "1 of 2")
    assert "At none of these budgets, on none of these boards, among the best: odd." in text


def test_single_runs_are_not_said_to_be_tested(registry, make):
    results = [*make.per_task("full", 0.9, (0,), own=1000), *make.per_task("probe", 0.6, (0,))]
    text = index(results, registry)
    (row,) = tables(text)[0]
    assert row["any size"].endswith(", not tested")
    assert row["detects"] == "–"
    assert "**full" not in text
    assert "- One seed alone: glue on bert_mini." in text


def test_what_is_not_known_is_said(registry, results):
    trials = tuple(
        Trial(learning_rate=rate, scores={}, score=score) for rate, score in ((1e-3, 7), (1e-2, 6))
    )
    searches = [
        Search(
            method=method, backbone="bert_mini", scale="mini", track="glue", tasks=("cola",),
            seeds=(100,), steps=100, trials=trials,
        )
        for method in ("full", "probe")
    ]  # fmt: skip
    # The rate that the search took, and another one, as of before it.
    rates = {"full": 1e-3, "probe": 1e-2}
    results = [
        result.model_copy(
            update={
                "recipe": Recipe(
                    optimizer="adamw",
                    learning_rate=rates[result.cell.method],
                    steps=100,
                    batch_size=32,
                )
            }
        )
        if result.cell.method in rates
        else result
        for result in results
    ]
    registry.methods["never"] = registry.methods["full"].model_copy(update={"name": "never"})
    dirty = [
        result.model_copy(
            update={"environment": result.environment.model_copy(update={"dirty": 1})}
        )
        if result.cell.method == "hyper"
        else result
        for result in results
    ]
    text = index(dirty, registry, searches)
    assert (
        "- On present tasks 1 of 4 rows were measured at the learning rate that a recorded search"
        in text
    )
    assert "- 1 of 4 rows were measured with code that no commit holds." in text
    assert "- Not measured: never." in text
    assert "Nothing has been measured at the full scale" in text
    assert "One seed alone" not in text


def test_boards_at_full_scale_come_before_mini_ones(registry, results):
    full = [
        result.model_copy(update={"cell": result.cell.model_copy(update={"scale": Scale.FULL})})
        for result in results
    ]
    text = index([*results, *full], registry)
    headings = re.findall(r"^(#{2,} .*)$", text, flags=re.M)
    assert headings == [
        "## Which method at which budget",
        "### Full scale",
        "### Mini scale",
        "## What is not known",
        "## Every method",
        "### glue, full scale",
        "### glue, mini scale",
        "## Published results only",
    ]
    assert "Nothing has been measured at the full scale" not in text


def test_the_index_shows_every_method_on_every_backbone_at_a_glance(registry, make):
    results = [
        *make.per_task("full", 0.9, own=1000),
        *make.joint("hyper", 0.7, shared=300, own=20),
        *make.per_task("full", 0.9, backbone="other"),
        make.cell("probe", "rte", 0, status="failed", reason="broken"),
    ]
    index = pages(results, registry)["README.md"].decode()
    row = {line.split("|")[1].strip(): line for line in index.splitlines() if line[:2] == "| "}
    assert "[bert_mini](glue-bert_mini-mini.md)" in row["method"]
    assert "[other](glue-other-mini.md)" in row["method"]
    assert "@ 3.03×**" in row["full"]
    assert "@ 0.390×" in row["hyper"]
    assert [m for m in row if m in ("full", "hyper", "probe")] == ["full", "hyper", "probe"]
    assert "**" not in row["hyper"]
    assert "*0/3*" in row["probe"]
