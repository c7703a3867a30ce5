"""Language models that write their answers: what they are taught and write is what transformers'
own loss and greedy generation give for the same text alone."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from small_networks import WRITERS, save_writer
from tiny import tiny_tasks

from suite.backbones.load import load_backbone
from suite.backbones.writers import CUE, PADDING
from suite.data.encode import encode_questions
from suite.errors import UserError
from suite.method.model import adapted, context_of
from suite.registry.schema import BackboneEntry

TEXTS = ["red green blue round square", "small large", "red red red green blue large small"]
ANSWERS = ["1", "20", "3"]


def entry(root, name, **more):
    return BackboneEntry(
        schema=1,
        name="own",
        description="Random weights.",
        family="gpt2" if name == "gpt2" else "decoder",
        modality="text",
        scale="full",
        source={"library": "transformers", "id": "own", "local_only": True},
        licence="own",
        path=root / "own.yaml",
        **({"form": "text_to_text"} | more),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("writers")


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Where the weights of the backbone `own` lie."""
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    return tmp_path / "models" / "own"


@pytest.fixture(params=WRITERS)
def writer(request, folder, monkeypatch):
    """A backbone that writes, and the network that transformers made."""
    root = folder / request.param
    monkeypatch.setenv("SUITE_DATA", str(root))
    network = save_writer(request.param, root / "models" / "own")
    return load_backbone(entry(root, request.param)), network


def read(backbone, texts, side="right"):
    found = backbone.tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def row(backbone, text):
    """Source and cue, without padding."""
    ids = backbone.tokenizer(text)["input_ids"]
    return ids + backbone.tokenizer(CUE, add_special_tokens=False)["input_ids"]


def test_it_writes_what_transformers_writes_greedily_for_each_text_alone(writer):
    backbone, network = writer
    end = backbone.tokenizer.eos_token_id
    rule = transformers.GenerationConfig(
        max_new_tokens=6, num_beams=1, do_sample=False, eos_token_id=end, pad_token_id=end
    )
    written = backbone.generate(read(backbone, TEXTS), 6)
    for text, own in zip(TEXTS, written, strict=True):
        ids = torch.tensor([row(backbone, text)])
        (whole,) = network.generate(ids, attention_mask=ids > -1, generation_config=rule)
        found = whole[ids.shape[1] :].tolist()
        assert own.tolist()[: len(found)] == found
        assert set(own.tolist()[len(found) :]) <= {end}


def test_it_is_taught_the_tokens_of_the_answer_alone(writer):
    backbone, network = writer
    labels = backbone.tokens_of(ANSWERS)
    logits = backbone(read(backbone, TEXTS), labels)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    total, count = torch.zeros(()), 0
    for text, answer in zip(TEXTS, labels.tolist(), strict=True):
        source, target = row(backbone, text), [token for token in answer if token != PADDING]
        ids = torch.tensor([source + target])
        own = torch.tensor([[-100] * len(source) + target])
        total = total + network(ids, labels=own).loss * len(target)
        count += len(target)
    torch.testing.assert_close(loss, total / count)


def test_padding_on_either_side_changes_nothing(writer):
    backbone, _ = writer
    labels = backbone.tokens_of(ANSWERS)
    right = backbone(read(backbone, TEXTS), labels)
    torch.testing.assert_close(backbone(read(backbone, TEXTS, "left"), labels), right)
    for text, label, expected in zip(TEXTS, labels, right, strict=True):
        alone = backbone(read(backbone, [text]), label[None])
        torch.testing.assert_close(alone[0], expected)


@pytest.mark.parametrize("kind", ["tokens", "keys"])
def test_what_is_put_before_a_text_serves_padded_texts_as_it_serves_them_alone(writer, kind):
    backbone = writer[0].fresh()
    torch.manual_seed(0)
    for site in backbone.of_kind(kind):
        if kind == "tokens" and site.layer == 0:
            backbone.insert_tokens(site, Constant(3, backbone.width))
        elif kind == "keys":
            backbone.insert_prefix(site, Constant(2, 3, site.width))
    labels = backbone.tokens_of(ANSWERS)
    together = backbone(read(backbone, TEXTS), labels)
    assert not torch.allclose(together, writer[0](read(backbone, TEXTS), labels))
    for text, label, expected in zip(TEXTS, labels, together, strict=True):
        torch.testing.assert_close(backbone(read(backbone, [text]), label[None])[0], expected)


class Constant(torch.nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.values = torch.nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return self.values.expand(len(x), *self.values.shape)


def test_tokens_before_a_text_are_what_tokens_of_a_longer_text_would_be(writer):
    """Where positions are rotated, only distances count: tokens inserted before the first block are
    like those of a text that begins with them."""
    backbone, network = writer
    if backbone.family == "gpt2":
        pytest.skip("positions are learned: inserted tokens have none")
    ids = torch.tensor([5, 6, 7])
    own = backbone.fresh()
    tokens = Constant(3, backbone.width)
    tokens.values.data = network.get_input_embeddings()(ids)
    own.insert_tokens(own.of_kind("tokens")[0], tokens)
    labels = backbone.tokens_of(ANSWERS[:1])
    inputs = read(backbone, TEXTS[:1])
    longer = {
        "input_ids": torch.cat([ids[None], inputs["input_ids"]], 1),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (3, 0), value=1),
    }
    torch.testing.assert_close(own(inputs, labels), backbone(longer, labels))


def test_the_right_answers_score_and_others_are_none(writer):
    backbone, _ = writer
    (task,) = tiny_tasks("t5", 1)
    model = adapted(backbone.fresh(), [task], context_of([task]))
    questions = encode_questions(task, {"s": TEXTS}, backbone, 16)
    assert questions.target_ids is not None
    answers = {2: 2.0, 1: 1.0, 7: -1.0}
    written = backbone.tokens_of([*map(str, answers)])
    for ids, expected in zip(written, answers.values(), strict=True):
        model.backbone.generate = lambda inputs, length, ids=ids: ids[None]
        batch = type("Asked", (), {"task": task.name, "inputs": {}, "target_ids": written})
        np.testing.assert_array_equal(model.predict(batch), [expected])


def test_features_are_the_default_of_a_language_model(models):
    save_writer("llama", models)
    backbone = load_backbone(entry(models.parents[1], "llama", form=None))
    assert backbone(read(backbone, TEXTS)).shape == (3, 32)
    assert not backbone.of_kind("head")


def test_an_untied_output_layer_that_is_not_in_the_file_is_refused(models):
    save_writer("llama", models)
    file = models / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if "lm_head" not in name}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"the tensor 'lm_head.weight' of the network is not in it"):
        load_backbone(entry(models.parents[1], "llama"))


def edit_tokenizer(models, **settings):
    tokenizer = transformers.AutoTokenizer.from_pretrained(models)
    for name, value in settings.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(models)


def test_without_a_token_that_pads_the_one_that_ends_a_text_is_taught_all_the_same(models):
    save_writer("gpt2", models)
    edit_tokenizer(models, pad_token=None)
    backbone = load_backbone(entry(models.parents[1], "gpt2"))
    end = backbone.tokenizer.eos_token_id
    assert backbone.tokenizer.pad_token_id == end
    assert [row[(row != PADDING).sum() - 1] for row in backbone.tokens_of(ANSWERS)] == [end] * 3


def test_a_tokenizer_without_a_token_that_ends_a_text_is_refused(models):
    save_writer("gpt2", models)
    edit_tokenizer(models, eos_token=None)
    with pytest.raises(UserError, match=r"no token that ends a text \(eos_token\)"):
        load_backbone(entry(models.parents[1], "gpt2"))


def test_an_answer_that_the_tokenizer_cannot_write_is_refused(models):
    save_writer("gpt2", models)
    backbone = load_backbone(entry(models.parents[1], "gpt2"))
    (task,) = tiny_tasks("t5", 1)
    labels = tuple(f"class {n}" for n in range(12))
    task = task.model_copy(update={"output": task.output.model_copy(update={"labels": labels})})
    with pytest.raises(UserError, match=r"cannot write the answer '10', which reads ''"):
        encode_questions(task, {"s": TEXTS}, backbone, 16)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_positions_must_do_for_the_answer_as_well(models, name):
    save_writer(name, models)
    config = models / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | POSITIONS[name]))
    backbone = load_backbone(entry(models.parents[1], name))
    (task,) = tiny_tasks("t5", 1)
    text = " ".join(["red"] * 100)
    assert encode_questions(task, {"s": [text]}, backbone, 60)
    with pytest.raises(UserError, match=r"64 positions, .* 62 tokens, and 4 more for its answer"):
        encode_questions(task, {"s": [text]}, backbone, 62)


POSITIONS = {"gpt2": {"n_positions": 64}, "llama": {"max_position_embeddings": 64}}


@pytest.mark.parametrize("form", ["text", "text_to_text"])
def test_an_empty_text_is_answered_as_it_is_alone(models, form):
    save_writer("gpt2", models)
    backbone = load_backbone(entry(models.parents[1], "gpt2", form=form))
    (task,) = tiny_tasks("t5", 1)
    text = task.text.model_copy(update={"template": "{s}"})
    task = task.model_copy(update={"text": text})
    found = []
    for texts in (["", "red green blue"], [""]):
        asked = encode_questions(task, {"s": texts}, backbone, 16)
        inputs = {name: ids.long() for name, ids in asked.inputs.items()}
        labels = [] if form == "text" else [backbone.tokens_of(["1"] * len(texts))]
        found.append(backbone(inputs, *labels)[0])
    torch.testing.assert_close(*found)


def test_an_empty_text_without_a_token_that_could_stand_for_it_is_refused(models):
    save_writer("gpt2", models)
    edit_tokenizer(models, eos_token=None)
    backbone = load_backbone(entry(models.parents[1], "gpt2", form=None))
    (task,) = tiny_tasks("t5", 1)
    with pytest.raises(UserError, match=r"a text of a is empty, and the tokenizer .*bos_token"):
        encode_questions(task, {"s": [""]}, backbone, 16)


def test_a_family_that_cannot_write_says_so(tmp_path):
    plain = entry(tmp_path, "llama").model_dump(by_alias=True)
    with pytest.raises(ValueError, match="form: the family bert has text, not text_to_text"):
        BackboneEntry.model_validate({**plain, "family": "bert"})
