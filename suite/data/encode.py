"""Examples as tensors: tokenised or laid out for one backbone, cached on disk by digest.

A board runs dozens of methods with several seeds on the same examples, so the encoding is done once
and kept: cells spend their time on training alone.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from suite.backbones.base import Backbone, TextBackbone, TextToTextBackbone
from suite.data.sources import load_splits
from suite.data.splits import Columns
from suite.planning.cache import cache_folder
from suite.planning.locate import Model, locate_model
from suite.registry.schema import Classification, GeneratedSource, Scale, TaskEntry

PADDING = -100


@dataclass(frozen=True)
class Examples:
    """One split as tensors on one device.

    `inputs`: `image` uint8 [N, 3, H, W], or `input_ids`, ... int64 [N, L] right-padded; `targets`:
    class indices or numbers [N]; `target_ids`: answers as tokens [N, M], -100 is padding;
    `lengths`: tokens of every source [N], kept on the host; ones for images.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor
    target_ids: Tensor | None
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: Tensor) -> "Examples":
        """Some of the examples, by row number."""
        ids = None if self.target_ids is None else self.target_ids[rows]
        inputs = {name: tensor[rows] for name, tensor in self.inputs.items()}
        return Examples(inputs, self.targets[rows], ids, self.lengths[rows.numpy()])

    def to(self, device: torch.device) -> "Examples":
        """The same examples on another device."""
        ids = None if self.target_ids is None else self.target_ids.to(device)
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return Examples(inputs, self.targets.to(device), ids, self.lengths)


@dataclass(frozen=True)
class EncodedTask:
    """The three splits of a task, encoded for one backbone."""

    task: TaskEntry
    train: Examples
    validation: Examples
    test: Examples


def encode_task(
    task: TaskEntry, scale: Scale, backbone: Backbone, max_length: int, digest: str
) -> EncodedTask:
    """Load and encode a task, or read it from the cache on disk.

    `digest` names the data and the code that encodes them. With it, the key of the cache holds all
    that the encoding depends on: the task's columns and outputs, the backbone's image size and
    tokenizer, and `max_length` (tokens). The generator's file is part of it too, so that a changed
    generator runs again and its examples are checked against the digest in the YAML.
    """
    source = task.sources.at(scale)
    generated = source if isinstance(source, GeneratedSource) else None
    key = json.dumps(
        [
            digest,
            task.model_dump_json(include={"text", "output", "sources"}),
            (task.path.parent / generated.python).read_text() if generated else "",
            backbone.entry.model_dump_json(),
            _tokenizer_digest(backbone) if task.text else "",
            max_length,
        ]
    )
    path = cache_folder() / "encoded" / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
    if path.is_file():
        tensors = load_file(path)
    else:
        tensors = _encode(task, scale, backbone, max_length)
        _save(path, tensors)
    splits = {split: _examples(tensors, split) for split in ("train", "validation", "test")}
    return EncodedTask(task, **splits)


def _tokenizer_digest(backbone: Backbone) -> str:
    """Names the files that the backbone and its tokenizer came from; empty if they have none."""
    found = locate_model(backbone.entry)
    return found.fingerprint if isinstance(found, Model) else ""


def _encode(
    task: TaskEntry, scale: Scale, backbone: Backbone, max_length: int
) -> dict[str, Tensor]:
    splits = load_splits(task, scale, backbone.entry.image_size)
    tensors: dict[str, Tensor] = {}
    for split in ("train", "validation", "test"):
        columns: Columns = getattr(splits, split)
        for name, tensor in _inputs(task, columns, backbone, max_length).items():
            tensors[f"{split}.inputs.{name}"] = tensor
        tensors[f"{split}.targets"] = torch.from_numpy(np.asarray(columns["label"]))
        if isinstance(backbone, TextToTextBackbone):
            tensors[f"{split}.target_ids"] = _answers(task, columns, backbone)
    return tensors


def encode_questions(
    task: TaskEntry, columns: Columns, backbone: Backbone, max_length: int
) -> Examples:
    """Examples of which only the inputs are known: `columns` without `label`.

    `target_ids` are blank and as long as the longest answer that the task allows.
    """
    inputs = _inputs(task, columns, backbone, max_length)
    mask = inputs.get("attention_mask")
    count = len(next(iter(inputs.values())))
    answers = None
    if isinstance(backbone, TextToTextBackbone):
        longest = _answers(task, {"label": _possible(task)}, backbone).shape[1]
        answers = torch.zeros(count, longest, dtype=torch.int64)
    lengths = np.ones(count, np.int64) if mask is None else mask.sum(1).numpy()
    return Examples(inputs, torch.zeros(count), answers, lengths)


def _possible(task: TaskEntry) -> np.ndarray:
    """Every answer that a text-to-text backbone may be taught."""
    if isinstance(task.output, Classification):
        return np.arange(len(task.output.labels))
    return np.arange(task.output.minimum, task.output.maximum + 0.1, 0.2)


def _inputs(
    task: TaskEntry, columns: Columns, backbone: Backbone, max_length: int
) -> dict[str, Tensor]:
    if task.text:
        return _tokens(task, columns, backbone, max_length)
    images = torch.from_numpy(np.ascontiguousarray(columns["image"]))
    return {"image": images.permute(0, 3, 1, 2).contiguous()}


def _tokens(
    task: TaskEntry, columns: Columns, backbone: Backbone, max_length: int
) -> dict[str, Tensor]:
    assert task.text is not None
    assert isinstance(backbone, TextBackbone)
    texts = [columns[name] for name in task.text.columns]
    if isinstance(backbone, TextToTextBackbone):
        rows = zip(*texts, strict=True)
        texts = [
            [
                task.text.template.format(**dict(zip(task.text.columns, row, strict=True)))
                for row in rows
            ]
        ]
    encoded = backbone.tokenizer(
        *texts, truncation=True, max_length=max_length, padding="longest", return_tensors="pt"
    )
    return {name: encoded[name] for name in backbone.tokenizer.model_input_names}


def _answers(task: TaskEntry, columns: Columns, backbone: TextToTextBackbone) -> Tensor:
    """Targets as text: the class index, or the number rounded to a fifth (T5's STS-B form)."""
    if isinstance(task.output, Classification):
        texts = [str(int(label)) for label in columns["label"]]
    else:
        texts = [f"{round(float(label) * 5) / 5:.1f}" for label in columns["label"]]
    encoded = backbone.tokenizer(text_target=texts, padding="longest", return_tensors="pt")
    ids = encoded["input_ids"]
    return ids.masked_fill(ids == backbone.tokenizer.pad_token_id, PADDING)


def _examples(tensors: Mapping[str, Tensor], split: str) -> Examples:
    start = f"{split}.inputs."
    inputs = {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
    targets = tensors[f"{split}.targets"]
    mask = inputs.get("attention_mask")
    lengths = np.ones(len(targets), np.int64) if mask is None else mask.sum(1).numpy()
    return Examples(inputs, targets, tensors.get(f"{split}.target_ids"), lengths)


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Keep the tensors for the next cell; if the home is read-only or full, only time is lost."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part)
        part.replace(path)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            part.unlink()
