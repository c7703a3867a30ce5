"""Every method of the registry keeps the contract on every family it claims, and refuses the rest.

Beside the defaults, every choice of every option is tried. The networks are the tiny ones, so that
a pair takes a few seconds; `python -m suite check METHOD` does the same on the embedded backbones.
Each method, and each choice, is tried on one family here; `pytest -m nightly` does it on all of
them, also embedded, and compiles.
"""

import copy
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from registered import ENTRIES, PAIRS, mini_options
from safetensors.torch import load_file
from tiny import IMAGE, VOCABULARY, tiny_backbone, tiny_tasks

from suite.contract.answers import compiles, outputs, padding_does_not_matter
from suite.contract.fixture import EXAMPLES, Bench, Fault
from suite.contract.methods import CHECKS, check_bench, check_method
from suite.contract.training import (
    keeps_nothing_but_its_file,
    only_steps_move_parameters,
    same_seed_same_delta,
    tasks_are_isolated,
)
from suite.data.batching import Batches
from suite.data.encode import Examples
from suite.engine.delta import make_rounding, stored_tensors
from suite.engine.ledger import count
from suite.engine.training_data import TaskBatches
from suite.errors import Unsupported
from suite.method.load import load_method
from suite.registry import load
from suite.registry.schema import Recipe, Store

CHOICES = [
    (name, family, option, choice)
    for name, family in PAIRS
    # Where several methods share a file, its choices are tried once.
    if ENTRIES[name].python is None
    for option, declared in ENTRIES[name].options.items()
    for choice in declared.choices
    if choice != mini_options(ENTRIES[name])[option]
]
OFFERED = sorted({(name, option, str(choice), choice) for name, _, option, choice in CHOICES})
TEXT_PAIRS = [(name, family) for name, family in PAIRS if family in ("bert", "t5")]
REFUSALS = [(name, family) for name, entry in ENTRIES.items() for family in entry.unsupported]
RATE = 5e-3
STEPS = 12


def examples(family, task):
    """Labels that the first token or the brightest colour gives away."""
    generator = torch.Generator().manual_seed(ord(task))
    targets = torch.arange(EXAMPLES) % 3
    if family in ("bert", "t5"):
        ids = torch.randint(2, VOCABULARY, (EXAMPLES, 7), generator=generator)
        ids[:, 0] = 2 + targets + 3 * (ids[:, 0] % 5)
        mask = torch.ones_like(ids)
        mask[::2, 5:] = 0
        inputs = {"input_ids": ids * mask, "attention_mask": mask}
        lengths = mask.sum(1).numpy()
    else:
        size = (EXAMPLES, 3, IMAGE, IMAGE)
        image = torch.randint(0, 128, size, generator=generator, dtype=torch.uint8)
        image[torch.arange(EXAMPLES), targets] += 100
        inputs = {"image": image}
        lengths = np.ones(EXAMPLES, int)
    ids = torch.stack([targets + 2, torch.ones_like(targets)], 1) if family == "t5" else None
    return Examples(inputs, targets, ids, lengths)


def bench_of(name, family, changes, folder):
    entry = ENTRIES[name]
    options = mini_options(entry) | changes
    backbone = tiny_backbone(family).eval()
    data = {}
    for task in tiny_tasks(family):
        batches = Batches(task.name, examples(family, task.name), backbone.entry)
        data[task.name] = TaskBatches(batches, batches)
    return Bench(
        entry=entry,
        method=load_method(entry, options),
        options=options,
        backbone=backbone,
        tasks=tiny_tasks(family),
        recipe=Recipe(steps=STEPS, batch_size=16, evaluations=1, learning_rate=RATE),
        data=data,
        folder=Path(folder),
    )


def faults(bench, checks):
    return {found.check: found.fault for found in check_bench(bench, checks) if found.fault}


def what_belongs_to_a_task_acts_on_that_task(bench, model):
    """Every kind of tensor that is a task's own, masks included, changes its answers alone."""
    if bench.entry.regime != "joint":
        return
    first, second = (bench.batch(task) for task in bench.tasks)
    changed = copy.deepcopy(model)
    tensors = stored_tensors(changed, bench.method)
    own = [tensor for name, tensor in tensors.items() if f".by_task.{second.task}." in name]
    for tensor in own:
        if tensor.is_floating_point():
            tensor.data.add_(torch.randn(tensor.shape))
        else:
            tensor.bitwise_not_()
    if not torch.equal(outputs(model, first), outputs(changed, first)):
        raise Fault(f"what belongs to {second.task} acts on {first.task}")
    if own and torch.equal(outputs(model, second), outputs(changed, second)):
        raise Fault(f"what belongs to {second.task} does not act on it")


def rounding_makes_a_small_file(bench, model):
    """Vectors take half their bits, matrices at most an eighth; masks stay as they are."""
    path = bench.save(model, "exact")
    exact = count(path).tensor_bytes
    masks = sum(t.numel() for t in load_file(path).values() if t.dtype == torch.uint8)
    fresh = [bench.adapt(bench.served, seed) for seed in (2, 3)]
    for store in (Store.INT4, Store.BINARY):
        small = bench.save(model, "small", make_rounding(store, *fresh))
        if not count(small).tensor_bytes < 0.55 * exact + masks:
            raise Fault(f"stored in {store}, the file is more than half as large")


TRAINING_AGAIN = (
    keeps_nothing_but_its_file,
    only_steps_move_parameters,
    same_seed_same_delta,
    tasks_are_isolated,
)
QUICK = [check for check in CHECKS if check not in (compiles, *TRAINING_AGAIN)]
QUICK += [what_belongs_to_a_task_acts_on_that_task, rounding_makes_a_small_file]


EVERY_TIME = (("taps", "resnet"), ("lora", "vit"), ("hyperformer_pp", "bert"), ("ties", "resnet"))
"""Pairs of which the checks that train again run on every push."""


def in_turn(cases):
    """The cases, (name, family, ...), of which each is tried on one family on every push: families
    take turns. The others are nightly."""
    families = defaultdict(list)
    for name, family, *rest in cases:
        families[name, *map(str, rest)].append(family)
    turns = {key: own[turn % len(own)] for turn, (key, own) in enumerate(families.items())}
    return [
        pytest.param(
            name,
            family,
            *rest,
            marks=() if turns[name, *map(str, rest)] == family else pytest.mark.nightly,
        )
        for name, family, *rest in cases
    ]


@pytest.mark.parametrize(("name", "family"), in_turn(PAIRS))
def test_the_contract_is_kept(name, family, tmp_path):
    bench = bench_of(name, family, {}, tmp_path)
    assert faults(bench, QUICK) == {}
    assert bench.recipe.learning_rate == RATE, "the loss does not fall at the first rate"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(*pair, marks=() if pair in EVERY_TIME else pytest.mark.nightly)
        for pair in PAIRS
    ],
)
def test_trained_again_a_method_does_the_same(name, family, tmp_path):
    assert faults(bench_of(name, family, {}, tmp_path), TRAINING_AGAIN) == {}


@pytest.mark.parametrize(("name", "family", "option", "choice"), in_turn(CHOICES))
def test_the_contract_is_kept_with_every_choice_of_an_option(
    name, family, option, choice, tmp_path
):
    bench = bench_of(name, family, {option: choice}, tmp_path)
    try:
        bench.adapt(bench.served)
    except Unsupported as refusal:
        pytest.skip(f"this choice is refused: {refusal}")
    assert faults(bench, QUICK) == {}


@pytest.mark.parametrize(("name", "option", "choice"), [(n, o, c) for n, o, _, c in OFFERED])
def test_a_choice_is_possible_on_some_family(name, option, choice):
    method = load_method(ENTRIES[name], mini_options(ENTRIES[name]) | {option: choice})
    refusals = {}
    for family in ENTRIES[name].families:
        tasks = tiny_tasks(family, 2 if ENTRIES[name].regime == "joint" else 1)
        try:
            method.adapt(tiny_backbone(family), tasks)
            return
        except Unsupported as refusal:
            refusals[family] = str(refusal)
    pytest.fail(f"{option}: {choice} is refused on every family: {refusals}")


def test_an_answer_that_padding_changes_is_found(tmp_path):
    bench = bench_of("full_finetuning", "bert", {}, tmp_path)
    model = bench.adapt(bench.served)
    padding_does_not_matter(bench, model)
    model.backbone.network.embeddings.register_forward_hook(
        lambda module, args, out: out + out.mean(1, keepdim=True)
    )
    with pytest.raises(Fault, match="padding"):
        padding_does_not_matter(bench, model)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_the_contract_is_kept_on_the_embedded_backbones(name, family):
    found = check_method(ENTRIES[name], load(), family)
    assert {finding.check: finding.fault for finding in found if finding.fault} == {}


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "family"), TEXT_PAIRS)
def test_compiled_a_model_answers_as_before(name, family, tmp_path):
    assert faults(bench_of(name, family, {}, tmp_path), [compiles]) == {}


@pytest.mark.parametrize(("name", "family"), REFUSALS)
def test_a_family_without_the_method_is_refused_with_a_reason(name, family):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry))
    with pytest.raises(Unsupported, match=r"\w{3,}"):
        method.adapt(tiny_backbone(family), tiny_tasks(family))
