"""Which row stands where, how sure that is, and what a constant answer reaches."""

import re

import numpy as np
import pytest
from board import only, page, section

from suite.leaderboards import markdown, pages
from suite.leaderboards.aggregate import boards, pools_of
from suite.leaderboards.front import curves, points


def test_rows_are_sorted_by_score_and_those_that_may_be_best_are_marked(registry, make):
    results = [
        *make.per_task("probe", 0.6),
        *make.joint("hyper", 0.9),
        *make.per_task("full", 0.9),
    ]
    ranked = only(results, registry).ranked
    assert [row.score for row in ranked] == sorted((row.score for row in ranked), reverse=True)
    assert {row.method: row.rank.best for row in ranked} == {
        "full": True,
        "hyper": True,
        "probe": False,
    }
    assert (ranked[2].rank.place, ranked[2].rank.low, ranked[2].rank.high) == (3, 3, 3)
    text = section(page(results, registry), "Ranking")
    assert "**[full](https://example.org/full)**" in text
    assert "**[probe]" not in text
    assert "with 80 % power" in text


def test_a_row_whose_runs_differ_far_more_than_others_is_no_candidate(registry, make):
    results = [
        *(r for name in ("full", "a", "b", "c") for r in make.per_task(name, 0.9, n=3000)),
        *make.per_task("probe", 0.6, n=3000),
    ]
    for task in ("cola", "mrpc", "rte"):
        for seed, accuracy in enumerate((0.95, 0.9, 0.3)):
            results.append(make.cell("taps", task, seed, accuracy=accuracy, n=3000))
    text = page(results, registry)
    (line,) = [line for line in section(text, "Ranking").splitlines() if "| taps " in line]
    assert line.split("|")[2].strip() == "?"
    assert "? Runs differ too much to be compared with the best: taps (" in text
    first = pages(results, registry)["README.md"].decode()
    assert ", = 3 more" in first, "the other four, one of them the best"
    assert "**taps**" not in first


def test_what_all_rows_have_in_common_is_said_once(registry, make):
    alike = [*make.per_task("full", 0.9), *make.per_task("probe", 0.6)]
    text = section(page(alike, registry), "Ranking")
    assert "Every row has steps 300, seeds 3, hardware A." in text
    assert "steps |" not in text
    longer = [r.model_copy(update={"steps": 200}) for r in make.per_task("odd", 0.8)]
    text = section(page([*alike, *longer], registry), "Ranking")
    assert "Every row has seeds 3, hardware A." in text
    (line,) = [line for line in text.splitlines() if "| odd " in line]
    assert line.split("|")[-2].strip() == "600"


def test_what_incomplete_rows_do_not_have_is_not_said(registry, make):
    text = page([make.cell("probe", "rte", seed) for seed in (0, 1, 2)], registry)
    below = section(text, "Below the line")
    assert "Every row has seeds 3, hardware A." in below
    assert "steps" not in below


def test_a_row_that_learned_nothing_on_a_task_says_so_where_it_is_ranked(registry, make):
    chance = [
        make.cell("probe", task, seed, accuracy=0.05 if task == "rte" else 0.95)
        for task in ("cola", "mrpc", "rte")
        for seed in (0, 1, 2)
    ]
    results = [*make.per_task("full", 0.9), *chance]
    assert "[probe](https://example.org/probe)¶" in section(page(results, registry), "Ranking")
    assert "Score no higher than the best constant answer: probe (rte)." in page(results, registry)
    first = pages(results, registry)["README.md"].decode()
    (line,) = [line for line in first.splitlines() if line.startswith("| probe") and "@" in line]
    assert "× ¶" in line


def test_single_runs_make_no_claim(registry, make):
    results = [*make.per_task("full", 0.9, seeds=(0,)), *make.per_task("probe", 0.6, seeds=(0,))]
    text = section(page(results, registry), "Ranking")
    assert "nothing is known of how runs vary" in text
    assert "±" not in text
    assert "**" not in text
    assert [row.rank for row in only(results, registry).ranked] == [None, None]


def test_tasks_that_start_from_one_training_share_its_luck(registry, make):
    def width(start):
        results = [
            make.cell("full", task, seed, accuracy=0.7 + 0.1 * seed, n=5000, start=start)
            for task in ("cola", "mrpc", "rte")
            for seed in (0, 1, 2)
        ]
        (row,) = only(results, registry).ranked
        low, high = row.estimate.interval()
        return high - low

    # Three tasks that go up and down together tell of three runs, and not of nine.
    assert width("of the seed's first training") > 2 * width("")


def test_it_is_said_of_which_runs_nothing_is_known(registry, make):
    several = [*make.per_task("full", 0.9), *make.per_task("probe", 0.6)]
    pools = pools_of(only(several, registry))
    singles = [r for r in several if r.cell.seed == 1] + make.joint("hyper", 0.8, seeds=(1,))
    (board,) = [b for b in boards(singles, registry, pools) if b.backbone == "bert_mini"]
    text = markdown.render(board, plot=None)
    assert "nothing is known of how joint runs vary" in text
    assert "±" in section(text, "Ranking"), "of the others it is"


def test_single_runs_take_the_variance_of_the_published_board(registry, make):
    several = [*make.per_task("full", 0.9), *make.per_task("probe", 0.6)]
    pools = pools_of(only(several, registry))
    singles = [r for r in several if r.cell.seed == 1]
    (board,) = [b for b in boards(singles, registry, pools) if b.backbone == "bert_mini"]
    assert [row.rank.place for row in board.ranked] == [1, 2]
    assert "single runs" in markdown.render(board, plot=None)
    elsewhere = [pool.model_copy(update={"steps": 7}) for pool in pools]
    (board,) = [b for b in boards(singles, registry, elsewhere) if b.backbone == "bert_mini"]
    assert [row.rank for row in board.ranked] == [None, None]


def test_the_constant_answer_is_the_best_that_one_answer_reaches(registry, make):
    results = make.per_task("full", 0.9)
    board = only(results, registry)
    targets = {s.task: np.array(s.targets) for r in results for s in r.scores}
    yes, no = (np.mean(targets["rte"] == label) for label in (1, 0))
    assert board.constants["rte"] == pytest.approx(100 * max(yes, no))
    assert board.constants["cola"] == 0
    text = page(results, registry)
    assert f"| {board.constant_score:.1f} |" in re.sub(" +", " ", section(text, "Ranking"))
    assert "*constant answer*" in section(text, "Scores per task")


def test_options_that_are_not_the_default_stand_beside_the_name(registry, make):
    width = {"default": 8, "description": "How wide."}
    registry.methods["full"] = make.method("full", options={"width": width})
    results = [
        *make.per_task("full", 0.9, options={"width": 16}),
        *make.per_task("probe", 0.6, options={"width": 8}),
    ]
    assert {row.label for row in only(results, registry).ranked} == {"full[width=16]", "probe"}


def test_settings_of_one_method_are_rows_side_by_side_and_make_a_curve(registry, make):
    results = [
        *make.per_task("full", 0.9),
        *make.per_task("full", 0.7, setting="width=2", own=10),
        *make.per_task("full", 0.8, setting="width=4", own=50),
    ]
    board = only(results, registry)
    assert [row.label for row in board.ranked] == ["full", "full[width=4]", "full[width=2]"]
    (curve,) = curves(points(board))
    assert [point.label for point in curve] == ["full[width=2]", "full[width=4]", "full"]
