"""What a page says beside its numbers: exceptions, marks, footnotes and definitions."""

from board import of_code, page, section

from suite.planning.identity import examples_digest
from suite.planning.recipes import track_recipe
from suite.registry.schema import Scale, Sources
from suite.results.records import Carried


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


def test_what_methods_report_is_told_once_for_each_task(registry, make):
    def reporting(results):
        return [r.model_copy(update={"facts": {"kept": 2.0 + r.cell.seed}}) for r in results]

    registry.methods["full"] = make.method("full", facts={"kept": "layers that are kept"})
    registry.methods["hyper"] = make.method("hyper", "joint", facts={"size": "embeddings"})
    exact = reporting(make.per_task("full", 0.9))
    rounded = reporting(make.per_task("full", 0.9, store="int8"))
    hyper = [
        result.model_copy(update={"facts": {"size": 0.25, "size@rte": 1234.0}})
        for result in make.joint("hyper", 0.8)
    ]
    found = section(page([*exact, *rounded, *hyper], registry), "What methods report")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in found.splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    tasks = rows[0][2:-1]
    assert rows[0][-1] == "all tasks"
    assert ["full", "kept", *["3"] * len(tasks), "–"] in rows
    own = ["1,234" if task == "rte" else "–" for task in tasks]
    assert ["hyper", "size", *own, "0.25"] in rows
    assert len(rows) == 3, "a precision is the same training"
    alone = section(page(rounded, registry), "What methods report")
    assert "| full[store=int8] | kept" in " ".join(alone.split())
    assert "- **kept**: layers that are kept." in found
    assert "What methods report" not in page(make.per_task("probe", 0.6), registry)


def test_a_board_of_earlier_examples_says_so(registry, make):
    source = {"python": "rte.py", "function": "rte", "version": 2, "digest": "0" * 64}
    sources = Sources.model_validate({"mini": source})
    now = registry.tasks["glue/rte"].model_copy(update={"sources": sources})
    registry.tasks["glue/rte"] = now
    recipe = track_recipe(registry.tracks["glue"], Scale.MINI, "bert")
    digest = examples_digest(now, Scale.MINI, source["digest"], recipe, None)
    for measured, says_so in ((digest, False), ("other", True)):
        text = page(make.per_task("full", 0.9, digest=measured), registry)
        said = "**Measured on earlier versions of rte**"
        assert (said in text, "earlier versions" in text) == (says_so, says_so)


def test_a_row_no_better_than_one_answer_to_everything_is_named(registry, make):
    results = [
        make.cell("probe", task, accuracy=0.3 if task == "rte" else 0.9)
        for task in ("cola", "mrpc", "rte")
    ]
    scores = section(page(make.per_task("full", 0.9) + results, registry), "Scores per task")
    assert "Score no higher than the best constant answer: probe (rte)." in scores
    assert "no higher than" not in page(make.per_task("full", 0.9), registry)
