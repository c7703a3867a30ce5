"""The parameter counts of Karimi Mahabadi et al. 2021 (table 1) on T5 with eight tasks."""

import pytest
import torch
from registered import ENTRIES
from tiny import tiny_tasks, wrap
from transformers import T5Config, T5ForConditionalGeneration

from suite.engine.ledger import closed_form
from suite.method.load import load_method

SIZES = {
    "base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
}


def t5(size):
    with torch.device("meta"):
        network = T5ForConditionalGeneration(T5Config(vocab_size=32128, **SIZES[size]))
    return wrap("t5", network)


def full_options(entry, **changes):
    return {name: option.default for name, option in entry.options.items()} | changes


@pytest.mark.parametrize(("size", "count"), [("base", 222_903_552), ("small", 60_506_624)])
def test_the_backbone_has_its_published_size(size, count):
    assert t5(size).parameter_count() == count


@pytest.mark.parametrize(
    ("name", "changes", "tasks", "size", "count"),
    [
        ("hyperformer", {}, 8, "base", 122_404_672),
        ("hyperformer", {}, 8, "small", 28_074_560),
        ("hyperformer_pp", {}, 8, "base", 5_211_056),
        ("hyperformer_pp", {}, 8, "small", 2_415_776),
        ("adapters", {"post_norm": True}, 1, "base", 1_928_832),
        ("adapters", {"post_norm": True}, 1, "small", 446_848),
    ],
)
def test_built_model_and_closed_form_have_the_published_count(name, changes, tasks, size, count):
    entry = ENTRIES[name]
    options = full_options(entry, **changes)
    method = load_method(entry, options)
    backbone = t5(size)
    expected = closed_form(entry.cost, backbone, tasks, options, {})
    with torch.device("meta"):
        model = method.adapt(backbone, tiny_tasks("t5", tasks))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
    assert sum(expected) == count
