"""Encoded examples are kept on disk, and never mistaken for those of something else."""

import numpy as np
import pytest
import torch

from suite.backbones.load import load_backbone
from suite.data import encode
from suite.data.batching import Batches
from suite.data.encode import encode_task
from suite.registry import load
from suite.registry.schema import Regression, Scale
from suite.results.scores import evaluate


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


def test_a_damaged_file_is_made_again(task, made, tmp_path):
    backbone = load_backbone(load().backbones["bert_mini"])
    first = encoded(task, backbone).train.inputs["input_ids"].clone()
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    again = encoded(task, backbone).train.inputs["input_ids"]
    assert len(made) == 2
    assert torch.equal(first, again)


def test_token_ids_take_two_bytes_and_batches_have_eight(task):
    backbone = load_backbone(load().backbones["t5_mini"])
    train = encoded(task, backbone).train
    assert {values.dtype for values in train.inputs.values()} == {torch.int16}
    assert train.target_ids.dtype == torch.int16
    _, batch = next(Batches("cola", train, backbone.entry).evaluation(4))
    assert {values.dtype for values in batch.inputs.values()} == {torch.int64}
    assert batch.target_ids.dtype == torch.int64


@pytest.mark.parametrize(("low", "high", "step"), [(0, 5, None), (0, 1, None), (-3, 4, 0.5)])
def test_a_perfect_predictor_of_numbers_in_text_scores_100(task, low, high, step):
    output = Regression(type="regression", minimum=low, maximum=high, step=step)
    rated = task.model_copy(update={"output": output, "metrics": ("pearson", "spearman")})
    labels = np.linspace(low, high, 101, dtype=np.float32)
    backbone = load_backbone(load().backbones["t5_mini"])
    ids = encode._answers(rated, {"label": labels}, backbone)
    answers = backbone.tokenizer.batch_decode(ids.clamp(min=0).long(), skip_special_tokens=True)
    targets = encode._targets(rated, {"label": labels}, backbone)
    assert evaluate(rated, np.array([float(each) for each in answers]), targets) == {
        "pearson": pytest.approx(100),
        "spearman": pytest.approx(100),
    }
    # No further from the label than half a step, and as fine as the task asks.
    assert np.abs(targets - labels).max() <= (step or (high - low) / 25) / 2 + 1e-6


def test_a_perfect_predictor_in_the_t5_form_of_sts_b_writes_fifths(task):
    output = Regression(type="regression", minimum=0, maximum=5)
    rated = task.model_copy(update={"output": output})
    backbone = load_backbone(load().backbones["t5_mini"])
    labels = np.linspace(0, 5, 251, dtype=np.float32)
    ids = encode._answers(rated, {"label": labels}, backbone).clamp(min=0).long()
    decoded = backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)
    written = [text.replace(" ", "") for text in decoded]
    assert written == [f"{round(float(label) * 5) / 5:.1f}" for label in labels]
