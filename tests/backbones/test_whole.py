"""Checkpoints load whole or not at all, and what they ask of text generation is not heard."""

import json

import numpy as np
import pytest
import timm
import torch
import transformers
from checkpoints import (
    SIZE,
    edit,
    entry,
    image_checkpoint,
    same_state,
    text_checkpoint,
    tokenizer,
    weights_of,
)
from safetensors.torch import save_file
from tiny import tiny_tasks
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    T5Config,
    T5ForConditionalGeneration,
)

from suite.backbones import cifar
from suite.backbones.load import load_backbone
from suite.backbones.whole import positions
from suite.data.encode import encode_questions
from suite.errors import UserError

SMALL = {
    "vocab_size": SIZE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
T5 = {
    "vocab_size": SIZE, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
CIFAR = {"depth": 8, "width": 4}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    torch.manual_seed(0)
    return tmp_path


def bert(root, **settings):
    return text_checkpoint(root, "bert", BertModel(BertConfig(**SMALL)), **settings)


def resnet(root):
    return image_checkpoint(
        root, "resnet", "resnet18", 32, layers=(1, 1, 1, 1), channels=(8, 8, 8, 16)
    )


def t5(root):
    return text_checkpoint(root, "t5", T5ForConditionalGeneration(T5Config(**T5)))


def cifar_resnet(root):
    folder = root / "models" / "own"
    folder.mkdir(parents=True)
    save_file(cifar.resnet(**CIFAR).state_dict(), folder / "model.safetensors")
    own = entry(root, "resnet", "cifar", "image", 32)
    return own.model_copy(update={"source": own.source.model_copy(update={"arguments": CIFAR})})


MAKERS = {"transformers": bert, "text-to-text": t5, "timm": resnet, "cifar": cifar_resnet}
TENSOR = {
    "transformers": "encoder.layer.1.output.dense.weight",
    "text-to-text": "encoder.block.0.layer.1.DenseReluDense.wo.weight",
    "timm": "layer1.0.conv1.weight",
    "cifar": "layer1.0.conv1.weight",
}
LIBRARIES = pytest.mark.parametrize("library", MAKERS)


def refusal(own):
    with pytest.raises(UserError) as refused:
        load_backbone(own)
    return str(refused.value)


@LIBRARIES
def test_a_whole_checkpoint_loads(root, library):
    assert load_backbone(MAKERS[library](root)).parameter_count() > 0


@LIBRARIES
def test_a_missing_tensor_is_named(root, library):
    own = MAKERS[library](root)
    edit(root, lambda state: {n: t for n, t in state.items() if n != TENSOR[library]})
    said = refusal(own)
    assert f"'{TENSOR[library]}'" in said and str(weights_of(root)) in said


@LIBRARIES
def test_renamed_tensors_are_no_pretrained_network(root, library):
    own = MAKERS[library](root)
    edit(root, lambda state: {f"zz.{name}": tensor for name, tensor in state.items()})
    assert str(weights_of(root)) in refusal(own)


@LIBRARIES
def test_a_tensor_without_a_place_is_named(root, library):
    own = MAKERS[library](root)
    edit(root, lambda state: state | {f"more.{TENSOR[library]}": torch.zeros(2)})
    said = refusal(own)
    assert f"'more.{TENSOR[library]}'" in said and str(weights_of(root)) in said


@LIBRARIES
def test_a_tensor_of_another_shape_is_named_with_both(root, library):
    own = MAKERS[library](root)
    edit(root, lambda state: state | {TENSOR[library]: torch.zeros(3, 5)})
    said = refusal(own)
    assert f"'{TENSOR[library]}' is [3, 5], and [" in said and str(weights_of(root)) in said


@LIBRARIES
@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "infinite")])
def test_a_weight_that_is_not_finite_is_named(root, library, value, word):
    own = MAKERS[library](root)

    def spoil(state):
        state[TENSOR[library]].view(-1)[0] = value
        return state

    edit(root, spoil)
    said = refusal(own)
    assert f"'{TENSOR[library]}' holds" in said and word in said and str(weights_of(root)) in said


def test_more_layers_than_the_configuration_says_are_refused(root):
    own = bert(root)
    file = root / "models" / "own" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_hidden_layers": 1}))
    assert "'encoder.layer.1." in refusal(own)


@pytest.mark.parametrize(
    ("whole", "inner"),
    [
        (lambda: BertForPreTraining(BertConfig(**SMALL)), "bert"),
        (lambda: RobertaForMaskedLM(RobertaConfig(**SMALL)), "roberta"),
    ],
)
def test_the_heads_of_pretraining_are_left_out(root, whole, inner):
    network = whole()
    backbone = load_backbone(text_checkpoint(root, "bert", network))
    expected = getattr(network, inner).state_dict()
    assert backbone.network.state_dict().keys() == {
        name for name in expected if not name.startswith("pooler.")
    }
    assert all(torch.equal(t, expected[n]) for n, t in backbone.network.state_dict().items())


def test_a_layer_beside_the_network_is_no_head(root):
    own = text_checkpoint(root, "bert", BertForPreTraining(BertConfig(**SMALL)))
    edit(root, lambda state: state | {"encoder.layer.2.output.dense.weight": torch.zeros(2)})
    assert "'encoder.layer.2.output.dense.weight'" in refusal(own)


@pytest.mark.parametrize("kept", ["classifier", "no classifier", "classifier of other classes"])
def test_a_network_of_timm_is_the_one_without_its_classifier(root, kept):
    own = resnet(root)

    def change(state):
        if kept == "no classifier":
            del state["fc.weight"], state["fc.bias"]
        if kept == "classifier of other classes":
            state |= {"fc.weight": torch.zeros(3, 16), "fc.bias": torch.zeros(3)}
        return state

    edit(root, change)
    alone = timm.create_model(
        f"local-dir:{root / 'models' / 'own'}", pretrained=True, num_classes=0
    )
    assert same_state(load_backbone(own).network, alone)


def test_position_embeddings_for_another_image_size_are_interpolated_and_it_is_said(root, capsys):
    arguments = {"img_size": 32, "embed_dim": 16, "depth": 1, "num_heads": 2}
    own = image_checkpoint(root, "vit", "vit_tiny_patch16_224", 32, **arguments)
    assert load_backbone(own).note == ""
    larger = own.model_copy(update={"image_size": 64})
    backbone = load_backbone(larger)
    assert "[1, 5, 16] in" in backbone.note and "interpolated to [1, 17, 16]" in backbone.note
    assert backbone.note in capsys.readouterr().err
    assert backbone({"image": torch.zeros(1, 3, 64, 64)}).shape == (1, 16)


def test_a_tokenizer_larger_than_the_embedding_is_refused(root):
    network = BertModel(BertConfig(**SMALL | {"vocab_size": SIZE - 1}))
    said = refusal(text_checkpoint(root, "bert", network))
    assert f"'w25' has the number {SIZE - 1}" in said
    assert f"'embeddings.word_embeddings.weight' has {SIZE - 1} rows" in said


def test_a_tokenizer_without_padding_is_refused(root):
    assert "no padding token" in refusal(bert(root, pad_token=None, eos_token=None))


def test_a_configuration_without_a_start_token_is_refused(root):
    own = t5(root)
    file = root / "models" / "own" / "config.json"
    config = json.loads(file.read_text())
    del config["decoder_start_token_id"]
    file.write_text(json.dumps(config))
    said = refusal(own)
    assert str(file) in said and "decoder_start_token_id" in said


def text_of(words):
    return {"s": [" ".join(["w1"] * words)]}


@pytest.mark.parametrize(
    ("network", "known"),
    [
        (lambda: BertModel(BertConfig(**SMALL, max_position_embeddings=8)), 8),
        (
            lambda: RobertaModel(RobertaConfig(**SMALL, pad_token_id=0, max_position_embeddings=9)),
            8,
        ),
    ],
)
def test_a_text_longer_than_the_positions_is_refused_before_training(root, network, known):
    own = text_checkpoint(root, "bert", network())
    backbone = load_backbone(own)
    (task,) = tiny_tasks("bert", 1)
    assert positions(backbone.network) == known
    fits = encode_questions(task, text_of(known - 2), backbone, 128)
    backbone({name: tensor.long() for name, tensor in fits.inputs.items()})
    with pytest.raises(UserError, match=f"has {known} positions.* has {known + 1} tok"):
        encode_questions(task, text_of(known - 1), backbone, 128)
    assert encode_questions(task, text_of(50), backbone, known).lengths[0] == known


def test_texts_are_padded_and_cut_on_the_right(root):
    own = bert(root, padding_side="left", truncation_side="left")
    (task,) = tiny_tasks("bert", 1)
    texts = {"s": ["w1 w2 w3 w4", "w5"]}
    ids = encode_questions(task, texts, load_backbone(own), 5).inputs["input_ids"]
    words = [tokenizer().convert_ids_to_tokens(row) for row in ids.tolist()]
    assert words == [["[CLS]", "w1", "w2", "w3", "[SEP]"], ["[CLS]", "w5", "[SEP]"] + ["[PAD]"] * 2]


WISHES = {
    "num_beams": 3, "do_sample": True, "temperature": 9.0, "min_length": 6, "min_new_tokens": 6,
    "repetition_penalty": 5.0, "no_repeat_ngram_size": 1, "suppress_tokens": [5, 6, 7],
    "forced_bos_token_id": 9, "forced_eos_token_id": 9, "bad_words_ids": [[4]],
    "begin_suppress_tokens": [8], "eos_token_id": 4, "decoder_start_token_id": 7,
    "exponential_decay_length_penalty": [1, 2.0], "max_length": 3, "num_return_sequences": 2,
}  # fmt: skip


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
def test_no_wish_of_a_checkpoint_changes_what_is_generated(root, file):
    own = t5(root)
    # Random, the network would mostly repeat one token.
    edit(root, lambda state: {name: 4 * tensor for name, tensor in state.items()})
    inputs = {
        "input_ids": torch.arange(4, 34).view(5, 6),
        "attention_mask": torch.ones(5, 6).long(),
    }
    plain = load_backbone(own).generate(inputs, 8)
    path = root / "models" / "own" / file
    asked = json.loads(path.read_text())
    known = ("decoder_start_token_id", "eos_token_id") if file == "config.json" else ()
    path.write_text(json.dumps(asked | {n: v for n, v in WISHES.items() if n not in known}))
    assert torch.equal(load_backbone(own).generate(inputs, 8), plain)
    assert len(np.unique(plain)) > 3


def test_code_of_a_checkpoint_does_not_run(root, monkeypatch):
    own = bert(root)
    folder = root / "models" / "own"
    (folder / "code.py").write_text("raise SystemExit('ran')")
    for name in ("config.json", "tokenizer_config.json"):
        file = folder / name
        told = json.loads(file.read_text())
        told |= {"auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
        file.write_text(json.dumps(told))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question is asked"))
    assert type(load_backbone(own).network) is BertModel


def test_every_call_of_the_library_says_that_no_code_may_run(root, monkeypatch):
    own, said = bert(root), []
    for name in ("AutoModel", "AutoTokenizer"):
        auto = getattr(transformers, name)
        given = auto.from_pretrained
        monkeypatch.setattr(
            auto,
            "from_pretrained",
            lambda *a, _given=given, **k: said.append(k["trust_remote_code"]) or _given(*a, **k),
        )
    load_backbone(own)
    assert said == [False, False]
