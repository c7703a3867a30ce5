"""Prompts and prefixes equal what public libraries make of the same networks and weights.

The oracles are the prompt tuning, multitask prompt tuning and prefix tuning of the peft library,
and numbers of the published code of visual prompt tuning.
"""

import copy

import pytest
import torch
from networks import meta_backbone
from peft import (
    MultitaskPromptTuningConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
)
from registered import ENTRIES, mini_options
from tiny import WIDTH, tiny_backbone, tiny_batch, tiny_tasks

from suite.engine.delta import stored_tensors
from suite.method.load import load_method
from suite.nn.prompt import Prefix, Prompt

TOKENS = 3
TYPES = {"t5": "SEQ_2_SEQ_LM", "bert": "FEATURE_EXTRACTION"}
LABELS = torch.tensor([[3, 5, 1]] * 6)


def ours(name, family, **changes):
    """The method's model of two tasks or one, every tensor it added drawn anew."""
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | {"tokens": TOKENS} | changes)
    tasks = tiny_tasks(family, 2 if entry.regime == "joint" else 1)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone(family), tasks).double().eval()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            if parameter not in model.backbone.originals:
                parameter.normal_()
    for module in model.modules():
        if isinstance(module, Prefix):
            module.constant_serves = True
    return model


def of_type(model, form):
    return [module for module in model.modules() if isinstance(module, form)]


def theirs(family, config, **settings):
    network = copy.deepcopy(tiny_backbone(family).network).double()
    of_network = {"num_transformer_submodules": 1, "token_dim": WIDTH, "num_layers": 2}
    made = config(
        task_type=TYPES[family],
        num_virtual_tokens=TOKENS,
        num_attention_heads=2,
        **of_network | settings,
    )
    return get_peft_model(network, made).eval()


def answers(family, model, task="a"):
    """Features of the texts, or logits of fixed answers."""
    inputs = tiny_batch(family, "a").inputs
    model.context.activate(task)
    with torch.no_grad():
        return model.backbone(inputs, LABELS) if family == "t5" else model.backbone(inputs)


def plain(family):
    return answers(family, ours_untouched(family))


def ours_untouched(family):
    entry = ENTRIES["linear_probe"] if family != "t5" else ENTRIES["bitfit"]
    method = load_method(entry, mini_options(entry))
    return method.adapt(tiny_backbone(family), tiny_tasks(family, 1)).double().eval()


def assert_close(actual, expected):
    """Norms of a T5 compute in float32, whatever the rest does."""
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def decoder_inputs():
    return torch.cat([torch.zeros_like(LABELS[:, :1]), LABELS[:, :-1]], 1)


def set_prompt(model, tokens):
    with torch.no_grad():
        of_type(model, Prompt)[0].tokens.copy_(tokens)


def test_prompt_tuning_of_a_t5_is_that_of_peft():
    model = ours("prompt_tuning", "t5")
    reference = theirs("t5", PromptTuningConfig)
    with torch.no_grad():
        weight = reference.prompt_encoder["default"].embedding.weight
        weight.copy_(of_type(model, Prompt)[0].tokens)
        inputs = tiny_batch("t5", "a").inputs
        expected = reference(**inputs, decoder_input_ids=decoder_inputs()).logits
    assert_close(answers("t5", model), expected)
    assert not torch.allclose(answers("t5", model), plain("t5"))


def test_prompt_tuning_of_a_t5_generates_what_peft_generates():
    model = ours("prompt_tuning", "t5")
    reference = theirs("t5", PromptTuningConfig)
    with torch.no_grad():
        weight = reference.prompt_encoder["default"].embedding.weight
        weight.copy_(of_type(model, Prompt)[0].tokens)
    inputs = tiny_batch("t5", "a").inputs
    expected = reference.generate(**inputs, max_new_tokens=4, num_beams=1, do_sample=False)
    assert torch.equal(model.backbone.generate(inputs, length=4), expected)


def test_prompt_tuning_of_a_bert_is_that_of_peft():
    """There the prompt goes through the embedding layer, which moves the positions of the text."""
    model = ours("prompt_tuning", "bert")
    reference = theirs("bert", PromptTuningConfig)
    embeddings = reference.get_base_model().embeddings
    inputs = tiny_batch("bert", "a").inputs
    with torch.no_grad():
        embeddings.position_embeddings.weight.copy_(
            embeddings.position_embeddings.weight.roll(TOKENS, 0)
        )
        prompt = reference.prompt_encoder["default"].embedding.weight
        set_prompt(model, embeddings(inputs_embeds=prompt[None])[0])
        hidden = reference(**inputs).last_hidden_state[:, TOKENS:]
        mask = inputs["attention_mask"].unsqueeze(-1).double()
        expected = hidden[:, 0]
        if model.backbone.entry.pooling != "cls":
            expected = (hidden * mask).sum(1) / mask.sum(1)
    assert_close(answers("bert", model), expected)
    assert not torch.allclose(answers("bert", model), plain("bert"))


@pytest.mark.parametrize("task", ["a", "b"])
def test_multitask_prompt_tuning_of_a_t5_is_that_of_peft(task):
    model = ours("mpt", "t5")
    reference = theirs("t5", MultitaskPromptTuningConfig, num_tasks=2, num_ranks=1)
    prompt = model.backbone.network.encoder.block[0].inserted_tokens
    encoder = reference.prompt_encoder["default"]
    with torch.no_grad():
        encoder.embedding.weight.copy_(prompt.shared.tokens)
        for number, own in enumerate(prompt.factors.by_task.values()):
            encoder.prefix_task_cols[number, :, 0] = own.u
            encoder.prefix_task_rows[number, 0] = own.v
        inputs = tiny_batch("t5", "a").inputs
        ids = torch.full((6,), "ab".index(task))
        expected = reference(
            **inputs, decoder_input_ids=decoder_inputs(), labels=LABELS, task_ids=ids
        ).logits
    assert_close(answers("t5", model, task), expected)
    other = answers("t5", model, "ab"[task == "a"])
    assert not torch.allclose(other, expected)


def rows_of_peft(model, stack):
    """The library's layout of a stack's prefixes: [n, layers * (keys, values) * width]."""
    sites = [s for s in model.backbone.of_kind("keys") if (s.stack, s.part) == (stack, "self")]
    prefixes = [model.backbone.module(site).prefix.constant for site in sites]
    return torch.stack(prefixes).permute(2, 0, 1, 3).flatten(1)


def without_prefix(model, unwanted):
    """Let no query attend to the prefixes of some layers."""
    for site in model.backbone.of_kind("keys"):
        if (site.stack, site.part) in unwanted:
            attention = model.backbone.module(site)
            attention.prefix.forward = lambda x, w=site.width: x.new_zeros(len(x), 2, 0, w)


def test_prefix_tuning_of_a_bert_is_that_of_peft():
    model = ours("prefix_tuning", "bert")
    reference = theirs("bert", PrefixTuningConfig)
    inputs = tiny_batch("bert", "a").inputs
    with torch.no_grad():
        reference.prompt_encoder["default"].embedding.weight.copy_(rows_of_peft(model, "encoder"))
        # The library counts positions from the prefix on, here words keep theirs.
        positions = reference.get_base_model().embeddings.position_embeddings.weight
        positions.copy_(positions.roll(TOKENS, 0))
        hidden = reference(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).double()
        expected = hidden[:, 0]
        if model.backbone.entry.pooling != "cls":
            expected = (hidden * mask).sum(1) / mask.sum(1)
    assert_close(answers("bert", model), expected)
    assert not torch.allclose(answers("bert", model), plain("bert"))


def test_prefix_tuning_of_a_t5_decoder_is_that_of_peft():
    model = ours("prefix_tuning", "t5")
    reference = theirs("t5", PrefixTuningConfig, num_transformer_submodules=2, num_layers=4)
    with torch.no_grad():
        # The library hands four tensors to a layer, of which a decoder uses the first two.
        weight = reference.prompt_encoder["default"].embedding.weight
        weight.view(TOKENS, 4, 2 * WIDTH)[:, ::2] = rows_of_peft(model, "decoder").view(
            TOKENS, 2, 2 * WIDTH
        )
        inputs = tiny_batch("t5", "a").inputs
        expected = reference(**inputs, decoder_input_ids=decoder_inputs()).logits
    everywhere = answers("t5", model)
    without_prefix(model, {("encoder", "self"), ("decoder", "cross")})
    assert_close(answers("t5", model), expected)
    assert not torch.allclose(everywhere, expected)


def test_prefix_tuning_stores_what_its_small_network_makes():
    entry = ENTRIES["prefix_tuning"]
    method = load_method(entry, mini_options(entry))
    model = method.adapt(tiny_backbone("bert"), tiny_tasks("bert", 1)).eval()
    before = answers("bert", model)
    tensors = {name: t.clone() for name, t in stored_tensors(model, method).items()}
    restored = method.adapt(tiny_backbone("bert"), tiny_tasks("bert", 1)).eval()
    assert not torch.allclose(answers("bert", restored), before)
    method.load(restored, tensors)
    assert torch.equal(answers("bert", restored), before)


def test_prefix_tuning_of_a_bert_base_stores_as_much_as_that_of_peft():
    entry = ENTRIES["prefix_tuning"]
    method = load_method(entry, mini_options(entry) | {"tokens": 20})
    backbone = meta_backbone("bert_base")
    with torch.device("meta"):
        model = method.adapt(backbone, tiny_tasks("bert", 1))
    tensors = stored_tensors(model, method)
    assert sum(t.numel() for name, t in tensors.items() if not name.startswith("heads.")) == 368_640
