import re
from collections import defaultdict

import numpy as np
import pytest

from suite.errors import UserError
from suite.leaderboards import build, check, formats, markdown, methods_page, pages
from suite.leaderboards.aggregate import boards, pools_of
from suite.leaderboards.front import curves, points
from suite.planning.identity import recipe_digest
from suite.registry import load
from suite.registry.schema import Recipe
from suite.results.records import Carried, CellKey, Identity, Result

PAGE = "glue-bert_mini-mini.md"


def only(results, registry):
    return next(board for board in boards(results, registry) if board.backbone == "bert_mini")


def section(page, title):
    parts = re.split(r"^## ", page, flags=re.M)
    return next(part for part in parts if part.startswith(f"{title}\n"))


def page(results, registry):
    return markdown.render(only(results, registry), plot=None)


def test_a_track_score_is_the_mean_over_tasks_and_seeds(registry, make):
    results = make.per_task("full", 0.9)
    row = only(results, registry).ranked[0]
    scores = [s.score for r in results for s in r.scores]
    assert row.score == pytest.approx(np.mean(scores))
    metrics = defaultdict(list)
    for found in (found for r in results for found in r.scores):
        for name, value in found.metrics.items():
            metrics[found.task, name].append(value)
    assert len(metrics) == 4
    assert row.all_metrics == pytest.approx(np.mean([np.mean(v) for v in metrics.values()]))


def test_costs_follow_the_definitions(registry, make):
    results = [
        *make.per_task("full", 0.9, own=1000),
        *make.per_task("probe", 0.6, own=0),
        *make.joint("hyper", 0.8, shared=300, own=20, trained=360),
        *make.joint("shared", 0.8, shared=1000, own=0, trained=1000),
    ]
    cost = {row.method: row.cost for row in only(results, registry).ranked}
    names = ("full", "probe", "hyper", "shared")
    assert [cost[m].total_x for m in names] == pytest.approx([3.0, 1.0, 1 + 0.3 + 3 * 0.02, 1.0])
    heads = 3 * 0.01
    assert [cost[m].stored_x for m in names] == pytest.approx(
        [3.0 + heads, heads, 0.3 + 3 * 0.02 + heads, 1.0 + heads]
    )
    assert [cost[m].per_task for m in names] == pytest.approx([1.0, 0.0, 0.1 + 0.02, 1 / 3])
    assert cost["hyper"].trained == pytest.approx(0.12)
    assert cost["full"].head == pytest.approx(0.01)
    assert cost["full"].tensor_bytes == 3 * 4 * 1010
    assert cost["full"].file_bytes == 3 * (4 * 1010 + 80)
    assert cost["hyper"].steps == cost["full"].steps == 300


def test_statistics_of_norms_are_stored_and_count(registry, make):
    results = [
        result.model_copy(
            update={"ledger": result.ledger.model_copy(update={"buffer_bits": 32 * 50})}
        )
        for result in make.per_task("probe", 0.6, own=0)
    ]
    (row,) = only(results, registry).ranked
    assert row.cost.stored_x == pytest.approx(3 * (0.05 + 0.01))
    assert row.cost.total_x == 1


@pytest.mark.parametrize(
    ("size", "written"), [(43_100, "0.0431"), (9.996e8, "1000"), (1.034e9, "1034")]
)
def test_sizes_are_written_without_powers_of_ten(size, written):
    assert formats.size(size) == written


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


def test_single_runs_make_no_claim(registry, make):
    results = [*make.per_task("full", 0.9, seeds=(0,)), *make.per_task("probe", 0.6, seeds=(0,))]
    text = section(page(results, registry), "Ranking")
    assert "nothing is known of how runs vary" in text
    assert "±" not in text
    assert "**" not in text
    assert [row.rank for row in only(results, registry).ranked] == [None, None]


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


def test_other_data_than_most_rows_is_not_ranked(registry, make):
    odd = [
        make.cell("odd", task, seed, accuracy=0.95, digest="d2" if task == "rte" else "d1")
        for task in ("cola", "mrpc", "rte")
        for seed in (0, 1, 2)
    ]
    board = only([*make.per_task("full", 0.9), *make.joint("hyper", 0.8), *odd], registry)
    assert [row.method for row in board.ranked] == ["full", "hyper"]
    (row,) = board.unranked
    assert row.objections == ("other data, splits or metrics than most rows: rte",)
    assert row.estimate


def test_test_sets_of_different_size_do_not_meet(registry, make):
    other = make.per_task("probe", 0.6, n=100, digest="d2")
    board = only([*make.per_task("full", 0.9), *make.joint("hyper", 0.9), *other], registry)
    assert [row.method for row in board.unranked] == ["probe"]


def test_seeds_scored_on_different_data_are_not_averaged(registry, make):
    results = [
        *make.per_task("full", 0.9, seeds=(0, 1)),
        *make.per_task("full", 0.9, (2,), n=50, digest="d2"),
    ]
    (row,) = only(results, registry).unranked
    assert row.estimate is None
    assert "test examples differ between seeds" in row.objections[0]


def test_a_joint_run_over_fewer_tasks_is_a_row_of_its_own(registry, make):
    results = [*make.joint("hyper", 0.8), *make.joint("hyper", 0.9, tasks=("cola", "rte"))]
    board = only(results, registry)
    assert [row.label for row in board.ranked] == ["hyper"]
    (row,) = board.unranked
    assert row.label == "hyper (cola, rte)"
    assert row.objections[0] == "trained jointly on 2 of 3 tasks"
    assert row.tasks["rte"].estimate


def test_other_seeds_than_most_rows_are_not_ranked(registry, make):
    results = [
        *make.per_task("full", 0.9),
        *make.joint("hyper", 0.8),
        *make.per_task("probe", 0.95, seeds=(0,)),
    ]
    (row,) = only(results, registry).unranked
    assert row.objections == ("seeds 0; most rows have 0, 1, 2",)


def test_cells_of_different_versions_of_a_method_are_not_mixed(registry, make):
    results = make.per_task("full", 0.9, seeds=(0, 1)) + make.per_task(
        "full", 0.9, (2,), version="v2"
    )
    (row,) = only(results, registry).unranked
    assert row.objections == ("its cells come from different versions of the method",)


def test_tasks_may_differ_in_length_but_not_in_versions_of_the_recipe(registry, make):
    def with_recipes(**keys):
        """Each task trained longer than the one before; `keys` change the last one's recipe."""
        done, tasks = [], registry.tracks["glue"].tasks
        for result in make.per_task("full", 0.9):
            place = tasks.index(result.cell.tasks[0])
            recipe = Recipe(steps=100 + place, **(keys if place == len(tasks) - 1 else {}))
            parts = result.identity.model_copy(update={"recipe": recipe_digest(recipe)})
            done.append(result.model_copy(update={"recipe": recipe, "identity": parts}))
        return done

    assert not only(with_recipes(), registry).unranked
    (row,) = only(with_recipes(schedule="cosine"), registry).unranked
    assert row.objections == ("its cells come from different versions of the recipe",)
    first, *others = with_recipes()
    other = first.identity.model_copy(update={"recipe": "of another length"})
    longer = first.recipe.model_copy(update={"steps": 7})
    changed = first.model_copy(update={"recipe": longer, "identity": other})
    (row,) = only([changed, *others], registry).unranked
    assert row.objections == ("its cells come from different versions of the recipe",)


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


def test_rows_of_another_budget_are_not_ranked(registry, make):
    results = [
        *make.per_task("full", 0.9),
        *make.per_task("probe", 0.6),
        *make.per_task("full", 0.95, setting="steps=400"),
    ]
    board = only(results, registry)
    assert [row.label for row in board.ranked] == ["full", "probe"]
    (row,) = board.unranked
    assert row.objections == ("steps=400; most rows have the budget of their recipes",)


def test_what_a_method_changes_of_the_tracks_recipe_is_printed_with_its_source(registry, make):
    own = {"schedule": "constant", "warmup": 0.0, "source": "Full 2020, section 4"}
    changed = {"mini": {"glue": {"bert": own}, "other": {"bert": own | {"steps": 9}}}}
    registry.methods["full"] = make.method("full", exceptions=changed)
    text = page(make.per_task("full", 0.9) + make.per_task("probe", 0.6), registry)
    found = section(text, "Exceptions from the recipe")
    assert "- full: schedule constant, warmup 0.0 (Full 2020, section 4)" in found
    assert "probe" not in found
    registry.methods["full"] = make.method("full")
    assert "Exceptions from the recipe" not in page(make.per_task("full", 0.9), registry)


def test_an_unsupported_method_is_named_with_its_reason(registry, make):
    refused = make.cell("convs", "rte", status="unsupported", reason="it has no convolution")
    text = page([*make.per_task("full", 0.9), refused], registry)
    assert "- convs: it has no convolution" in section(text, "Not defined on this backbone")
    assert "convs" not in section(text, "Scores per task")


def test_data_that_are_not_official_are_marked(registry, make):
    results = [
        make.cell("full", task, note="2,000 of 67,349 rows" if task == "rte" else "")
        for task in ("cola", "mrpc", "rte")
    ]
    scores = section(page(results, registry), "Scores per task")
    assert "rte †" in scores
    assert "- rte: 2,000 of 67,349 rows" in scores


def test_a_changed_backbone_costs_one_and_has_a_footnote(registry, make):
    text = section(page(make.joint("shared", 0.8, shared=1000, own=0), registry), "Ranking")
    assert "**[shared](https://example.org/shared)**\\*" in text
    assert "Does not need the frozen backbone" in text


def test_every_column_is_defined_under_the_table(registry, make):
    text = page([*make.per_task("full", 0.9), *make.joint("hyper", 0.8)], registry)
    header = next(line for line in text.splitlines() if line.startswith("| rank"))
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    definitions = section(text, "What the columns mean")
    undefined = [c for c in columns if f"- **{c}**:" not in definitions and c != "method"]
    assert undefined == []


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


def test_a_result_of_an_unknown_track_is_an_error(registry, make):
    with pytest.raises(UserError, match="no track 'glew'"):
        pages([make.cell("full", "rte", track="glew")], registry)


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


def test_every_measured_method_is_described_with_its_closed_form():
    registry = load()
    cell = CellKey(
        method="lines", backbone="bert_mini", scale="mini", track="glue", tasks=("cola",), seed=0
    )
    parts = {
        "schema_version": 1,
        "method": "",
        "recipe": "",
        "tasks": {},
        "backbone": "",
        "seed": 0,
    }
    result = Result(
        cell=cell, identity=Identity(**parts, digest=""), status="failed", reason="broken"
    )
    files = pages([result], registry)
    page, entry = files["methods.md"].decode(), registry.methods["lines"]
    assert page.count("\n## ") == 1
    assert "## lines" in page
    assert entry.title in page
    assert entry.notes in page
    assert entry.reference.url in page
    assert all(" ".join(term.count.split()) in page for term in entry.cost.shared)
    assert all(reason in page for reason in entry.unsupported.values())
    assert "(methods.md)" in files["README.md"].decode()


def test_the_page_of_methods_says_where_they_depart_from_their_papers(make):
    departures = [
        {"differs": "Starts at zero.", "costs": "Nothing stored."},
        {"differs": "No dropout.", "costs": "Unknown."},
    ]
    page = methods_page.render([make.method("one", departures=departures), make.method("two")])
    one, two = page.split("## two")
    assert "- Departure: Starts at zero. What it costs: Nothing stored." in one
    assert "- Departure: No dropout. What it costs: Unknown." in one
    assert "Departure" not in two


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
    write(make.per_task("full", 0.9), tmp_path)
    build(tmp_path, registry)
    edited, missing = tmp_path / PAGE, tmp_path / "plots" / "glue-bert_mini-mini.svg"
    edited.write_text(edited.read_text().replace("| 1 (1", "| 0 (1", 1))
    missing.unlink()
    (tmp_path / "glue-gone-mini.md").write_bytes(edited.read_bytes())
    (tmp_path / "NOTES.md").write_text("mine")
    assert check(tmp_path, registry) == [
        PAGE,
        "glue-gone-mini.md",
        "plots/glue-bert_mini-mini.svg",
    ]
    build(tmp_path, registry)
    assert check(tmp_path, registry) == []
    assert (tmp_path / "NOTES.md").read_text() == "mine"


PARTS = {"training": "t", "data": "d", "layers": "l", "method": "m"}


def of_code(results, version=2, metrics="x", dirty=False, carried=None, **parts):
    """The same results from other code."""
    return [
        result.model_copy(
            update={
                "identity": result.identity.model_copy(
                    update={
                        "schema_version": version,
                        "parts": {} if version == 1 else PARTS | parts,
                        "tasks": {
                            task: digest if version == 1 else f"{digest}.{metrics}"
                            for task, digest in result.identity.tasks.items()
                        },
                    }
                ),
                "environment": result.environment.model_copy(update={"dirty": dirty}),
                "carried": carried,
            }
        )
        for result in results
    ]


def objections(registry, *rows):
    board = only([result for row in rows for result in row], registry)
    return {row.method: row.objections for row in board.rows}


def test_rows_of_unlike_engines_are_not_ranked_together(registry, make):
    full, probe = make.per_task("full", 0.9), make.per_task("probe", 0.6)
    hyper = make.joint("hyper", 0.8)
    usual = of_code(full), of_code(probe, layers="other", method="other")
    for other, reason in {
        "training": "other code than most rows: training",
        "data": "other code than most rows: data",
    }.items():
        found = objections(registry, *usual, of_code(hyper, **{other: "changed"}))
        assert found == {"full": (), "probe": (), "hyper": (reason,)}
    found = objections(registry, *usual, of_code(hyper, metrics="changed"))
    reason = "other code than most rows: metrics of cola, metrics of mrpc, metrics of rte"
    assert found["hyper"] == (reason,)


def test_a_row_whose_code_is_not_known_is_not_ranked_with_those_whose_is(registry, make):
    full, probe = make.per_task("full", 0.9), make.per_task("probe", 0.6)
    hyper = make.joint("hyper", 0.8)
    found = objections(registry, of_code(full), of_code(probe), of_code(hyper, version=1))
    assert found["hyper"] == ("it is not known whether its code is that of most rows",)
    found = objections(registry, of_code(full), *(of_code(r, version=1) for r in (probe, hyper)))
    assert found["full"] == ("its code is known, that of most rows is not",)
    assert found["probe"] == found["hyper"] == ()


def test_a_row_of_two_versions_of_a_method_is_not_ranked(registry, make):
    first, *others = make.per_task("full", 0.9)
    found = objections(registry, of_code([first], layers="other"), of_code(others))
    assert found["full"] == ("its cells come from different versions of the method",)


def test_results_of_code_that_was_not_committed_are_marked(registry, make):
    clean = page(of_code(make.per_task("full", 0.9)), registry)
    assert "‡" not in clean
    both = [
        *of_code(make.per_task("full", 0.9)),
        *of_code(make.per_task("probe", 0.6), dirty=True),
    ]
    ranking = section(page(both, registry), "Ranking")
    marked = [line for line in ranking.splitlines() if "‡" in line]
    assert len(marked) == 2
    assert "[probe](https://example.org/probe)‡" in marked[0]
    assert marked[1].startswith("‡ Measured from a source tree with changes")


def test_what_was_compared_before_results_were_carried_is_said(registry, make):
    carried = Carried(
        commit="0123456789abcdef",
        dirty=True,
        cells=("full.glue-cola.bert_mini.s0",),
        steps=20,
        predictions=277,
        hardware="A CPU",
        date="2026-01-01T00:00:00Z",
    )
    text = page(of_code(make.per_task("full", 0.9), carried=carried), registry)
    assert (
        "- 9 carried from commit 01234567 (the recorded tree was dirty, the commit was run): "
        "compared on 1 cell, 277 predictions, all equal bit for bit"
    ) in text
