import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest

from suite.leaderboards import plot
from suite.leaderboards.aggregate import boards
from suite.leaderboards.label_placement import place
from suite.leaderboards.plot import Point, pareto_front, points, render


def point(label, stored_x, score):
    return Point(label, stored_x, score, None, joint=False, published=False)


def test_the_front_holds_whatever_nothing_cheaper_beats():
    cheap, dominated, good, worse, best = (
        point("cheap", 0.001, 60),
        point("dominated", 0.01, 59),
        point("good", 0.02, 70),
        point("worse", 0.02, 65),
        point("best", 9, 71),
    )
    assert pareto_front([best, worse, dominated, good, cheap]) == [cheap, good, best]


def test_only_ranked_methods_and_published_ones_with_a_cost_are_drawn(registry, make):
    glue = registry.tracks["glue"]
    rows = (
        make.published("hyper", "bert_mini"),
        make.published("unknown cost", "bert_mini", total_x=None),
    )
    registry.tracks["glue"] = glue.model_copy(update={"published": rows})
    results = [*make.per_task("full", 0.9), make.cell("probe", "rte")]
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    assert [(p.label, p.published) for p in points(board)] == [("full", False), ("Hyper", True)]


def test_the_plot_is_an_image_of_the_same_bytes_whatever_the_users_style(registry, make):
    results = [*make.per_task("full", 0.9, own=1000), *make.per_task("probe", 0.6, own=0)]
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    image = render(board)
    assert ElementTree.fromstring(image).tag.endswith("svg")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9}):
        assert render(board) == image


@pytest.mark.parametrize("stored", [0, 1, 5_000_000])
def test_a_single_method_of_any_cost_can_be_drawn(registry, make, stored):
    results = make.per_task("probe", 0.6, own=stored)
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    assert ElementTree.fromstring(render(board)).tag.endswith("svg")


def test_nothing_measured_and_no_known_cost_gives_no_plot(registry, make):
    results = [make.cell("full", "rte", status="failed", reason="broken")]
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    assert render(board) is None


def test_where_not_all_have_room_settings_off_the_front_have_no_names(registry, make, monkeypatch):
    results = [
        *make.per_task("full", 0.9, own=1000),
        *make.per_task("full", 0.5, own=2000, setting="rank=9"),
        *make.per_task("full", 0.95, own=3000, setting="rank=99"),
        *make.per_task("probe", 0.3, own=1500),
    ]
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    named = []
    monkeypatch.setattr(plot, "place", lambda *given: named.append(len(given[0])) or place(*given))
    render(board)
    monkeypatch.setattr(plot, "MOST_NAMES", 3)
    render(board)
    assert named == [4, 3], "full, its setting on the front, and probe"


def test_names_keep_off_the_line_between_settings(registry, make, monkeypatch):
    seen = []

    def placed(anchors, sizes, obstacles, *others):
        seen.append((anchors, obstacles))
        return place(anchors, sizes, obstacles, *others)

    monkeypatch.setattr(plot, "place", placed)
    small = make.per_task("probe", 0.6, own=10, setting="rank=1")
    results = [*small, *make.per_task("probe", 0.9, own=1000)]
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    render(board)
    (((x, y), (end, top)), obstacles) = seen[0]
    for share in (0.2, 0.5, 0.8):
        at_x, at_y = x + share * (end - x), y + share * (top - y)
        assert any(
            left <= at_x <= right and low <= at_y <= high for left, low, right, high in obstacles
        )
