"""The page that describes every measured method."""

from dataclasses import replace

from suite.leaderboards import methods_page, pages
from suite.registry import load
from suite.results.records import CellKey, Identity, Result


def test_every_measured_method_is_described_with_its_closed_form():
    registry = load()
    registry = replace(registry, tracks={"glue": registry.tracks["glue"]})
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
    assert page.count("\n## ") == 2
    assert page.index("## lines") < page.index("## Names in the expressions")
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
    assert "- Departure: Starts at zero. *Cost*: Nothing stored." in one
    assert "- Departure: No dropout. *Cost*: Unknown." in one
    assert "Departure" not in two
