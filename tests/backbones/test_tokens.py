"""Tokens in the sequence of a transformer, and prefixes of its keys, on every family."""

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from tiny import IMAGE, WIDTH, tiny_backbone, tiny_batch, wrap
from torch import nn

from suite.backbones.per_task import PerTask, TaskContext

LABELS = torch.tensor([[3, 5, 1]] * 6)
TRANSFORMERS = ("vit", "bert", "t5")
VISION = {
    "class token": {},
    "patches": {"class_token": False, "global_pool": "avg"},
    "registers": {"reg_tokens": 2},
    "patches beside a class token": {"global_pool": "avg"},
}


class Tokens(nn.Module):
    def __init__(self, count, seed=0, width=WIDTH):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.tokens = nn.Parameter(torch.randn(count, width, generator=generator))

    def forward(self, x):
        return self.tokens.expand(len(x), -1, -1)


class Prefix(Tokens):
    def forward(self, x):
        return self.tokens.unflatten(1, (2, -1)).transpose(0, 1).expand(len(x), -1, -1, -1)


def vision(**form):
    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=IMAGE,
        patch_size=8,
        embed_dim=WIDTH,
        depth=3,
        num_heads=2,
        num_classes=0,
        **form,
    )
    return wrap("vit", network.eval())


def answers(backbone, inputs=None):
    inputs = inputs or tiny_batch(backbone.family, "a").inputs
    with torch.no_grad():
        return backbone(inputs, LABELS) if backbone.family == "t5" else backbone(inputs)


@pytest.mark.parametrize("form", VISION)
@pytest.mark.parametrize("inserted", [{0: 2}, {0: 2, 1: 2, 2: 2}, {1: 1, 2: 3}])
def test_a_vision_transformer_reads_tokens_after_its_class_token(form, inserted):
    """Written out with timm's own parts."""
    backbone = vision(**VISION[form])
    network = copy.deepcopy(backbone.network)
    sites = backbone.of_kind("tokens")
    for layer, count in inserted.items():
        backbone.insert_tokens(sites[layer], Tokens(count, layer))
    inputs = tiny_batch("vit", "a").inputs
    first = network.num_prefix_tokens
    with torch.no_grad():
        x, count = network._pos_embed(network.patch_embed(inputs["image"])), 0
        for layer, block in enumerate(network.blocks):
            if layer in inserted:
                tokens = Tokens(inserted[layer], layer)(x)
                x = torch.cat([x[:, :first], tokens, x[:, first + count :]], 1)
                count = inserted[layer]
            x = block(x)
        x = torch.cat([x[:, :first], x[:, first + count :]], 1)
        expected = network.forward_head(network.norm(x))
        plain = network(inputs["image"])
    torch.testing.assert_close(answers(backbone, inputs), expected)
    assert not torch.allclose(expected, plain, atol=1e-3)


@pytest.mark.parametrize("family", ["bert", "t5"])
@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("prefixed", [False, True])
def test_padding_changes_no_answer(family, layers, prefixed):
    backbone = tiny_backbone(family)
    for layer in layers:
        backbone.insert_tokens(backbone.of_kind("tokens")[layer], Tokens(2 + layer, layer))
    if prefixed:
        for number, site in enumerate(backbone.of_kind("keys")):
            backbone.insert_prefix(site, Prefix(1 + number % 2, number, 2 * site.width))
    inputs = tiny_batch(family, "a").inputs
    short = {name: values[:1, :4] for name, values in inputs.items()}
    padded = {name: values[:1] for name, values in inputs.items()}
    with torch.no_grad():
        labels = (LABELS[:1],) if family == "t5" else ()
        torch.testing.assert_close(backbone(short, *labels), backbone(padded, *labels))


def test_tokens_of_a_t5_are_read_like_words():
    """The vectors of words instead of learned ones: as if the words stood in the text."""
    backbone = tiny_backbone("t5")
    words = torch.tensor([5, 9])
    inputs = tiny_batch("t5", "a").inputs
    mask = inputs["attention_mask"]
    longer = {
        "input_ids": torch.cat([words.expand(6, -1), inputs["input_ids"]], 1),
        "attention_mask": torch.cat([torch.ones_like(mask[:, :2]), mask], 1),
    }
    expected, generated = answers(backbone, longer), backbone.generate(longer, length=4)
    module = Tokens(2)
    module.tokens.data.copy_(backbone.network.shared(words))
    backbone.insert_tokens(backbone.of_kind("tokens")[0], module)
    torch.testing.assert_close(answers(backbone, inputs), expected)
    assert torch.equal(backbone.generate(inputs, length=4), generated)


def test_a_prefix_made_of_words_is_read_like_words():
    """Keys and values that words before a text have are a prefix that acts as the words do."""
    backbone = tiny_backbone("t5")
    text = torch.tensor([[5, 9, 4, 7, 3, 8]])
    longer, short = (
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in (text, text[:, 2:])
    )
    sites = [s for s in backbone.of_kind("keys") if s.stack == "encoder" or s.part == "cross"]
    seen = {}

    def watch(site):
        for part in "kv":
            layer = backbone.module(site).get_submodule(part)
            layer.register_forward_hook(
                lambda module, args, out: seen.setdefault(site, []).append(out[0, :2])
            )

    for site in sites:
        watch(site)
    with torch.no_grad():
        expected = backbone(longer, LABELS[:1])
    made = {site: torch.cat(list(seen[site]), 1) for site in sites}
    generated = backbone.generate(longer, length=4)
    for site, keys_and_values in made.items():
        module = Prefix(2, width=2 * site.width)
        module.tokens.data.copy_(keys_and_values)
        backbone.insert_prefix(site, module)
    with torch.no_grad():
        torch.testing.assert_close(backbone(short, LABELS[:1]), expected)
    assert torch.equal(backbone.generate(short, length=4), generated)


def test_tokens_that_enter_a_later_block_of_a_t5_have_positions():
    backbone = tiny_backbone("t5")
    site = backbone.of_kind("tokens")[1]
    backbone.insert_tokens(site, Tokens(2))
    biases = []
    backbone.module(site).register_forward_pre_hook(
        lambda module, args, given: biases.append(given["position_bias"]), with_kwargs=True
    )
    answers(backbone)
    first = backbone.network.encoder.block[0].layer[0].SelfAttention
    torch.testing.assert_close(biases[0], first.compute_bias(9, 9))


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_rows_of_several_tasks_get_the_tokens_of_their_tasks(family):
    backbone = tiny_backbone(family)
    context = TaskContext(["a", "b"])
    of_task = {task: Tokens(2, seed) for seed, task in enumerate(context.tasks)}
    backbone.insert_tokens(backbone.of_kind("tokens")[0], PerTask(context, of_task))
    alone = []
    for task in context.tasks:
        context.activate(task)
        alone.append(answers(backbone))
    with context.mixed([4, 2]):
        mixed = answers(backbone)
    torch.testing.assert_close(mixed, torch.cat([alone[0][:4], alone[1][4:]]))
    assert not torch.allclose(alone[0], alone[1])


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_a_copy_has_a_sequence_of_its_own(family):
    backbone = tiny_backbone(family)
    backbone.insert_tokens(backbone.of_kind("tokens")[0], Tokens(2))
    clone = copy.deepcopy(backbone)
    before = answers(backbone)
    with torch.no_grad():
        clone.module(clone.of_kind("tokens")[0]).inserted_tokens.tokens.zero_()
    assert not torch.allclose(answers(clone), before)
    assert torch.equal(answers(backbone), before)


def test_what_has_the_wrong_place_or_shape_is_refused():
    backbone = tiny_backbone("bert")
    tokens, keys = (backbone.of_kind(kind)[0] for kind in ("tokens", "keys"))
    with pytest.raises(ValueError, match="of the kind keys, not tokens"):
        backbone.insert_tokens(keys, Tokens(1))
    with pytest.raises(ValueError, match="of the kind tokens, not keys"):
        backbone.insert_prefix(tokens, Prefix(1))
    backbone.insert_tokens(tokens, Tokens(2, width=WIDTH + 1))
    with pytest.raises(ValueError, match=rf"\[6, 7, {WIDTH}\] to \[6, 2, {WIDTH + 1}\]"):
        answers(backbone)
    with pytest.raises(ValueError, match="twice"):
        backbone.insert_tokens(tokens, Tokens(1))
