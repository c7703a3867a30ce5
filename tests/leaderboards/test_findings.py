"""The page of findings: every question on boards whose answer is known."""

import re

import pytest

from suite.leaderboards import findings, questions
from suite.leaderboards.aggregate import boards
from suite.registry.schema import BackboneEntry
from suite.results.searches import Search, Trial

ACCURACIES = {f"m{number}": 0.55 + 0.05 * number for number in range(8)}


@pytest.fixture
def two_families(registry):
    bert = registry.backbones["bert_mini"]
    t5 = BackboneEntry.model_validate(
        bert.model_dump(by_alias=True) | {"name": "t5_mini", "family": "t5"}
    )
    registry.backbones["t5_mini"] = t5
    return registry


def ask(question, results, registry):
    return question(boards(results, registry))


def column(found, name):
    return [row[found.headers.index(name)] for row in found.rows]


@pytest.mark.parametrize(("turned", "verdict"), [(False, "carries"), (True, "reversed")])
def test_an_order_that_two_families_share_carries_and_one_turned_round_is_reversed(
    two_families, make, turned, verdict
):
    results = []
    for name, accuracy in ACCURACIES.items():
        other = 1.45 - accuracy if turned else accuracy
        results += make.per_task(name, accuracy)
        results += make.per_task(name, other, backbone="t5_mini")
    found = ask(questions.order_on_other_family, results, two_families)
    assert column(found, "the order") == [verdict]
    assert column(found, "methods") == ["8"]


def test_orders_of_no_relation_are_not_shown_to_agree(two_families, make):
    """However exactly they are known: few methods agree by chance."""
    results = []
    for number, (name, accuracy) in enumerate(ACCURACIES.items()):
        shuffled = 0.55 + 0.05 * (2, 7, 0, 4, 1, 6, 3, 5)[number]
        results += make.per_task(name, accuracy, n=3000)
        results += make.per_task(name, shuffled, backbone="t5_mini", n=3000)
    found = ask(questions.order_on_other_family, results, two_families)
    assert column(found, "the order") == ["not shown"]
    (interval,) = column(found, "95 % interval")
    assert re.fullmatch(r"−0\.\d\d to 0\.\d\d", interval)


def test_what_few_methods_have_in_common_is_not_known(two_families, make):
    results = make.per_task("m0", 0.6) + make.per_task("m0", 0.6, backbone="t5_mini")
    found = ask(questions.order_on_other_family, results, two_families)
    assert found.answer.startswith("Not known") and not found.rows


@pytest.mark.parametrize(
    ("rounded", "smaller", "verdict"),
    [(0.9, 0.65, "precision"), (0.65, 0.9, "size"), (0.8, 0.8, "not told apart")],
)
def test_precision_is_held_against_the_largest_setting_that_fits(
    registry, make, rounded, smaller, verdict
):
    results = [
        *make.per_task("low", 0.9, own=800),
        *make.per_task("low", rounded, own=100, store="int4"),
        *make.per_task("low", smaller, own=90, setting="rank=2"),
        *make.per_task("low", 0.5, own=20, setting="rank=1"),
        *make.per_task("low", 0.99, own=200, setting="rank=4"),
        *make.per_task("low", 0.7, own=5, store="binary"),
    ]
    found = ask(questions.precision_or_size, results, registry)
    assert column(found, "float32") == ["low[rank=2]"]
    assert column(found, "ahead") == [verdict]
    assert "1 rounded rows are smaller than every setting" in found.answer


@pytest.mark.parametrize(
    ("rival", "verdict"), [(0.95, "beaten"), (0.81, "not shown"), (0.6, "highest")]
)
def test_taps_is_beaten_if_something_that_stores_no_more_is_better(registry, make, rival, verdict):
    results = [
        *make.per_task("taps", 0.8, own=100),
        *make.per_task("other", rival, own=90),
        *make.per_task("large", 0.99, own=900),
    ]
    found = ask(questions.place_on_the_front, results, registry)
    assert column(found, "TAPS is") == [verdict]
    assert found.answer == (
        "At the best of its settings nothing that stores no more scores higher on "
        f"{int(verdict == 'highest')} of 1 boards; on {int(verdict == 'not shown')} something "
        f"does, but not significantly, and on {int(verdict == 'beaten')} it is beaten."
    )


def test_taps_is_not_called_beaten_where_its_runs_differ_too_much_to_tell(registry, make):
    steady = [r for name in ("full", "a", "b") for r in make.per_task(name, 0.9, n=3000, own=90)]
    wild = [
        make.cell("taps", task, seed, accuracy=(0.95, 0.9, 0.3)[seed], n=3000, own=100)
        for task in ("cola", "mrpc", "rte")
        for seed in (0, 1, 2)
    ]
    found = ask(questions.place_on_the_front, [*steady, *wild], registry)
    assert column(found, "TAPS is") == ["not shown"]


def searches(between, step):
    return [
        Search(
            method=f"m{number}",
            backbone="bert_mini",
            scale="mini",
            track="glue",
            tasks=("cola", "rte"),
            seeds=(100,),
            steps=30,
            trials=tuple(
                Trial(learning_rate=rate, scores={}, score=score)
                for rate, score in zip(
                    (0.01, 0.1, 1.0),
                    (70 + between * number - step, 70 + between * number, None),
                    strict=True,
                )
            ),
        )
        for number in range(8)
    ]


@pytest.mark.parametrize(
    ("between", "step", "verdict"), [(0.5, 20, "rate"), (6, 1, "method"), (2, 6, "not told apart")]
)
def test_the_learning_rate_is_held_against_the_difference_of_methods(between, step, verdict):
    found = questions.learning_rate(searches(between, step))
    assert column(found, "larger, by Holm") == [verdict]
    assert column(found, "one step off") == [f"{step:.1f}"]
    assert column(found, "two methods") == [f"{3 * between:.1f}"]  # mean of |i - j| over 8 is 3


@pytest.mark.parametrize(
    ("short", "long", "verdict"),
    [(0.6, 0.9, "catches up"), (0.8, 0.6, "falls behind"), (0.7, 0.8, "not told apart")],
)
def test_a_method_that_only_learns_more_slowly_catches_up(registry, make, short, long, verdict):
    results = []
    for setting, full, own in (("", 0.85, 0.8), ("steps=25", 0.8, short), ("steps=400", 0.9, long)):
        results += make.per_task("full_finetuning", full, setting=setting)
        results += make.per_task("slow", own, setting=setting)
    found = ask(questions.speed_of_learning, results, registry)
    assert column(found, "steps") == ["25 → 400"]
    assert column(found, "with more steps") == [verdict]


def test_a_longer_training_on_other_data_says_nothing_of_speed(registry, make):
    results = []
    for setting, digest in (("", "d1"), ("steps=400", "d2")):
        results += make.per_task("full_finetuning", 0.9, setting=setting)
        results += make.per_task("slow", 0.6, setting=setting, digest=digest)
    assert ask(questions.speed_of_learning, results, registry).rows == ()


def test_the_page_answers_every_question(registry, make):
    known = findings.findings(boards(make.per_task("m0", 0.6), registry), [])
    page = findings.render(known)
    assert page.count("\n## ") == page.count("*Test*: ") == 7
    assert page.count("**Not known") == 7
