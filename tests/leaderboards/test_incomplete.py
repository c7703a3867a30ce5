"""Cells that failed, never ran or are not defined are shown, and never averaged over."""

import re

from board import page, section


def test_a_failed_task_is_shown_and_never_averaged_over(registry, make):
    results = make.per_task("full", 0.9)
    results = [r for r in results if (r.cell.tasks, r.cell.seed) != (("rte",), 1)]
    results.append(make.cell("full", "rte", 1, status="oom", reason="out of memory | 3 GB"))
    text = page([*results, *make.per_task("probe", 0.6)], registry)
    below = section(text, "Below the line")
    assert "2/3 tasks (oom (seed 1): rte)" in below
    assert "| 2/3 tasks |" in re.sub(" +", " ", below)
    assert "full" not in section(text, "Ranking")
    assert "*oom (seed 1)*" in section(text, "Scores per task")
    assert "out of memory \\| 3 GB" in section(text, "Cells without a score")
    assert "`logs/full.log`" in text


def test_a_joint_run_that_failed_is_a_row(registry, make):
    failed = [make.cell("hyper", ("cola", "mrpc", "rte"), 0, status="diverged", reason="loss nan")]
    text = page([*make.per_task("full", 0.9), *failed], registry)
    assert "0/3 tasks (diverged: all)" in section(text, "Below the line")


def test_a_cell_that_never_ran_is_named(registry, make):
    results = [r for r in make.per_task("full", 0.9) if r.cell.tasks != ("cola",)]
    assert "2/3 tasks (not run: cola)" in page(results, registry)


def test_an_unsupported_method_is_named_with_its_reason(registry, make):
    refused = make.cell("convs", "rte", status="unsupported", reason="it has no convolution")
    text = page([*make.per_task("full", 0.9), refused], registry)
    assert "- convs: it has no convolution" in section(text, "Not defined on this backbone")
    assert "convs" not in section(text, "Scores per task")


def test_a_board_on_which_no_method_is_defined_promises_no_numbers(registry, make):
    refused = make.cell("convs", "rte", status="unsupported", reason="it has no convolution")
    text = page([refused], registry)
    assert "- convs: it has no convolution" in text
    assert "published numbers" not in text and "[CSV]" not in text
