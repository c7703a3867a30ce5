"""A setting is part of a cell's name, so that none replaces another."""

import pytest

from suite.errors import UserError
from suite.planning.plan import Request, plan
from suite.registry import load

REGISTRY = load()


def names(*options, **keys):
    asked = Request(("lora",), ("glue/rte",), ("bert_mini",), options=options, **keys)
    return [item.cell.key.name for item in plan(asked, REGISTRY).planned]


def test_the_defaults_are_the_plain_method():
    assert names() == names("lora.rank=4") == names(steps=100) == ["lora"]


def test_lists_sweep_and_keep_their_order():
    assert names("lora.rank=8,2,4") == ["lora[rank=8]", "lora[rank=2]", "lora"]


def test_lists_of_two_options_give_every_pair():
    assert names("lora.rank=2,8", "lora.targets=all") == [
        "lora[rank=2,targets=all]",
        "lora[rank=8,targets=all]",
    ]


def test_another_budget_is_another_cell():
    assert names("lora.rank=2", steps=7, batch_size=8) == ["lora[rank=2,steps=7,batch_size=8]"]


def test_another_precision_is_another_cell_and_asks_for_itself():
    asked = Request(("lora",), ("glue/rte",), ("bert_mini",), precision="bfloat16")
    (item,) = plan(asked, REGISTRY).planned
    assert item.cell.key.name == "lora[precision=bfloat16]"
    assert item.cell.recipe.precision == "bfloat16"
    assert asked.flags == ["--precision", "bfloat16"]


def test_each_setting_has_a_file_and_an_identity_of_its_own():
    asked = Request(("lora",), ("glue/rte",), ("bert_mini",), options=("lora.rank=2,4,8",))
    cells = [item.cell for item in plan(asked, REGISTRY).planned]
    assert len({cell.key.file_name for cell in cells}) == 3
    assert len({cell.identity.digest for cell in cells}) == 3


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("lora.rank=0", "must be at least 1, not 0"),
        ("lora.rank=2,0", "must be at least 1, not 0"),
        ("lora.rank=two", "must be a whole number, not 'two'"),
        ("lora.targets=everything", "is not one of query_value, all"),
        ("taps.threshold=nan", "must be a finite number, not 'nan'"),
        ("taps.gate_penalty=-1", "must be at least 0, not -1"),
        ("taps.lock_after=1.5", "must be at most 1, not 1.5"),
    ],
)
def test_a_value_out_of_its_domain_is_refused_before_anything_runs(assignment, said):
    method = assignment.partition(".")[0]
    asked = Request((method,), ("glue/rte",), ("bert_mini",), options=(assignment,))
    with pytest.raises(UserError, match=said):
        plan(asked, REGISTRY)


def test_every_option_that_is_a_number_says_how_small_it_may_be():
    open_ended = [
        f"{method.name}.{name}"
        for method in REGISTRY.methods.values()
        for name, option in method.options.items()
        if type(option.default) in (int, float) and not option.choices and option.minimum is None
    ]
    assert open_ended == []
