from suite.leaderboards.terminal import render, summaries


def test_the_table_shows_scores_costs_and_what_failed(registry, make):
    failed = make.cell("probe", "rte", status="oom", reason="out of memory")
    results = [
        *make.per_task("full", 0.9, seeds=(0,), own=1000),
        *[r for r in make.per_task("probe", 0.6, seeds=(0,)) if r.cell.tasks != ("rte",)],
        failed,
        make.cell("convs", "rte", status="unsupported", reason="it has no convolution"),
    ]
    lines = render(results, registry).splitlines()
    assert lines[0] == "glue on bert_mini (mini)"
    assert lines[1].split()[:4] == ["rank", "method", "score", "cola"]
    assert lines[2].split()[:2] == ["–", "full"]
    assert "3.03×" in lines[2]
    assert "2/3 tasks" in lines[3]
    assert "probe: 2/3 tasks (oom: rte)" in lines
    assert "convs: unsupported: it has no convolution" in lines


def test_a_run_over_fewer_tasks_is_scored_over_them_and_says_so(registry, make):
    tasks = ("cola", "rte")
    results = [make.cell("full", t, accuracy=0.9) for t in tasks] + make.joint(
        "hyper", 0.8, seeds=(0,), tasks=tasks
    )
    text = render(results, registry)
    assert text.startswith("glue on bert_mini (mini, score over 2 of its 3 tasks)")
    assert "tasks (" not in text
    for row in summaries(results, registry):
        assert row.score == sum(row.tasks.values()) / 2
        assert row.low is row.rank is None


def test_several_seeds_are_ranked_and_the_mark_is_explained(registry, make):
    results = [*make.per_task("full", 0.9), *make.per_task("probe", 0.6)]
    lines = render(results, registry).splitlines()
    assert lines[2].startswith("1 (1–1) =")
    assert lines[-1] == "rank with its 95 % interval; =: not told apart from the best"
    best, other = summaries(results, registry)
    assert best.low < best.score < best.high
    assert (best.rank, best.perhaps_best, other.perhaps_best) == (1, True, False)


def test_columns_are_aligned(registry, make):
    results = [*make.per_task("full", 0.9), *make.joint("hyper", 0.8)]
    _, header, *rows = render(results, registry).splitlines()[:-1]
    for name in ("score", "cola", "stored"):
        at = header.index(name)
        assert all(row[at - 1] == " " and row[at] != " " for row in rows)
