"""Encoded examples are kept on disk, and never mistaken for those of something else."""

import pytest
import torch

from suite.backbones.load import load_backbone
from suite.data import encode
from suite.data.encode import encode_task
from suite.registry import load
from suite.registry.schema import Scale


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return load().tasks["glue/cola"]


@pytest.fixture
def made(monkeypatch):
    """Counts how often examples are really encoded."""
    calls = []
    original = encode._encode
    monkeypatch.setattr(encode, "_encode", lambda *words: calls.append(1) or original(*words))
    return calls


def encoded(task, backbone, length=32):
    return encode_task(task, Scale.MINI, backbone, length, "digest")


def test_encoded_once_and_read_back_the_same(task, made):
    backbone = load_backbone(load().backbones["bert_mini"])
    first, again = encoded(task, backbone), encoded(task, backbone)
    assert len(made) == 1
    assert torch.equal(first.test.inputs["input_ids"], again.test.inputs["input_ids"])
    encoded(task, backbone, length=8)
    assert len(made) == 2


def test_another_tokenizer_of_the_same_backbone_is_noticed(task, made, monkeypatch):
    backbone = load_backbone(load().backbones["bert_mini"])
    encoded(task, backbone)
    monkeypatch.setattr(encode, "_tokenizer_digest", lambda backbone: "another")
    encoded(task, backbone)
    assert len(made) == 2


def test_a_cache_that_cannot_be_written_is_no_failure(task, made, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    backbone = load_backbone(load().backbones["bert_mini"])
    assert len(encoded(task, backbone).train) > 0
    assert len(encoded(task, backbone).train) > 0
    assert len(made) == 2
