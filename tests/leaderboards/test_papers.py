"""A page says how its order of methods relates to published orders, and what follows."""

import re

import pytest

from suite.leaderboards import pages

METHODS = ("v", "w", "x", "y", "z")
PAGE = "glue-bert_mini-mini.md"


@pytest.fixture
def page(registry, make):
    """The page of five methods, the first best, beside tables with these scores for them."""

    def write(*tables, methods=METHODS, seeds=(0, 1, 2), backbone="bert_base"):
        small = registry.backbones["bert_mini"]
        registry.backbones["bert_base"] = small.model_copy(update={"name": "bert_base"})
        registry.backbones["t5_base"] = small.model_copy(update={"name": "t5_base", "family": "t5"})
        rows = [
            make.published(name, backbone, score=score, setting=f"table {number}")
            for number, scores in enumerate(tables)
            for name, score in zip(METHODS, scores, strict=True)
        ]
        track = registry.tracks["glue"].model_copy(update={"published": tuple(rows)})
        registry.tracks["glue"] = track
        registry.methods.update({name: make.method(name) for name in METHODS})
        results = [
            result
            for name, accuracy in zip(methods, (0.97, 0.88, 0.79, 0.7, 0.61), strict=False)
            for result in make.per_task(name, accuracy, seeds)
        ]
        return pages(results, registry)[PAGE].decode()

    return write


def correlations(page):
    return re.findall(r"on bert_base: τ = (\S+) \((\S+) to (\S+)\) over 5 methods", page)


@pytest.mark.parametrize(
    ("published", "tau", "said"),
    [
        ((90, 89, 88, 87, 86), "1.00", "agrees with the published one beyond chance"),
        ((86, 87, 88, 89, 90), "−1.00", "contradicts a published one"),
        ((88, 86, 90, 89, 87), "0.00", "is not shown to agree"),
    ],
)
def test_the_order_is_compared_with_a_table_of_the_same_family(page, published, tau, said):
    text = page(published)
    assert [found[0] for found in correlations(text)] == [tau]
    assert said in text
    best_first = sorted(METHODS, key=lambda name: -published[METHODS.index(name)])
    assert f"there {' > '.join(best_first)}" in text


def test_tables_are_compared_one_by_one_and_one_reversal_is_enough_to_warn(page):
    text = page((90, 89, 88, 87, 86), (86, 87, 88, 89, 90))
    assert [found[0] for found in correlations(text)] == ["1.00", "−1.00"]
    assert "contradicts a published one" in text


@pytest.mark.parametrize(
    "change", [{"methods": METHODS[:4]}, {"seeds": (0,)}, {"backbone": "t5_base"}], ids=str
)
def test_nothing_is_said_without_five_methods_known_noise_or_the_same_family(page, change):
    assert "papers' order" not in page((90, 89, 88, 87, 86), **change)
