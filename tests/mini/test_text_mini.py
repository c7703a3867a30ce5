"""The shipped mini text backbones: small, loadable at full precision, and taught something."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, T5ForConditionalGeneration

from suite.mini import WEIGHTS
from suite.mini.pretrain.corpus import documents

BERT, T5 = WEIGHTS / "bert_mini", WEIGHTS / "t5_mini"


@pytest.mark.parametrize("folder", [BERT, T5])
def test_a_backbone_is_small_and_loads_as_float32(folder):
    assert (folder / "model.safetensors").stat().st_size < 2e6
    assert next(AutoModel.from_pretrained(folder).parameters()).dtype == torch.float32


@pytest.mark.parametrize("folder", [BERT, T5])
def test_words_are_single_tokens_and_any_other_text_is_spelled(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer.tokenize("The doctor bought the car.")) == 6
    spelled = tokenizer("Zyxomma petiolatum #42, (naïve)!").input_ids
    assert tokenizer.unk_token_id not in spelled


def test_bert_joins_two_texts_as_segments():
    tokenizer = AutoTokenizer.from_pretrained(BERT)
    encoded = tokenizer("the dog", "the cat")
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids) == (
        ["[CLS]", "the", "dog", "[SEP]", "the", "cat", "[SEP]"]
    )
    assert encoded.token_type_ids == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("number", ["0", "1", "2", "3.4", "5.0", "0.2"])
def test_t5_writes_and_reads_numbers_digit_by_digit(number):
    tokenizer = AutoTokenizer.from_pretrained(T5)
    ids = tokenizer(number).input_ids
    assert len(ids) == len(number) + 1
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode([0, *ids, 0], skip_special_tokens=True) == number
    assert tokenizer.pad_token_id == 0


def test_t5_keeps_the_original_form():
    model = T5ForConditionalGeneration.from_pretrained(T5)
    assert model.lm_head.weight is model.shared.weight
    assert model.config.feed_forward_proj == "relu"
    assert model.config.decoder_start_token_id == model.config.pad_token_id == 0


def test_t5_has_learnt_to_copy_a_number():
    tokenizer = AutoTokenizer.from_pretrained(T5)
    model = T5ForConditionalGeneration.from_pretrained(T5).eval()
    texts = [d.first for d in documents(20)]
    numbers = [f"{i / 5:.1f}" for i in range(20)]
    sources = [f"copy: sentence: {t} {n}" for t, n in zip(texts, numbers, strict=True)]
    encoded = tokenizer(sources, padding=True, return_tensors="pt")
    answers = tokenizer.batch_decode(
        model.generate(**encoded, max_new_tokens=5), skip_special_tokens=True
    )
    assert sum(a == b for a, b in zip(answers, numbers, strict=True)) >= 16
