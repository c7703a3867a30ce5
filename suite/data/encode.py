"""Examples as tensors: tokenised or laid out for one backbone, cached on disk by digest.

A board runs dozens of methods with several seeds on the same examples, so the encoding is done once
and kept: cells spend their time on training alone.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from suite.backbones.base import Backbone, EncoderBackbone, TextBackbone, TextToTextBackbone
from suite.backbones.writers import require_readable
from suite.data import tensor_file
from suite.data.lengths import never_empty, require_positions
from suite.data.pictures import Pictures
from suite.data.sources import load_splits
from suite.data.splits import Column, Columns
from suite.data.tensor_file import TensorFile
from suite.planning.locate import Model, locate_model
from suite.registry.cache import cache_folder
from suite.registry.schema import (
    Classification,
    GeneratedSource,
    Regression,
    Scale,
    TaskEntry,
)

CHUNK = 10_000
"""Texts tokenised at once."""


@dataclass(frozen=True)
class Examples:
    """One split as tensors on one device.

    `inputs`: `image` uint8 [N, 3, H, W], or `input_ids`, ... [N, L] right-padded; `targets`: class
    indices or numbers [N], or 0 and 1 [N, labels]; `target_ids`: answers as tokens [N, M], -100 is
    padding; `lengths`: tokens of every source [N], kept on the host; ones for images. Token ids and
    masks have the smallest type that holds them; batches have int64.
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
    note: str = ""
    """What a reader of scores must know about these rows."""

    def to(self, device: torch.device) -> "EncodedTask":
        """The same examples on another device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )


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
    found = tensor_file.read(path) or _encode(task, scale, backbone, max_length, path)
    tensors, note = found
    splits = {split: _examples(tensors, split) for split in ("train", "validation", "test")}
    return EncodedTask(task, **splits, note=note)


def _tokenizer_digest(backbone: Backbone) -> str:
    """Names the files that the backbone and its tokenizer came from; empty if they have none."""
    found = locate_model(backbone.entry)
    return found.fingerprint if isinstance(found, Model) else ""


def _encode(
    task: TaskEntry, scale: Scale, backbone: Backbone, max_length: int, path: Path
) -> tuple[dict[str, Tensor], str]:
    """The tensors of every split and a note on them, written to `path`.

    If the home is read-only or full they are kept in memory, and only time is lost.
    """
    splits = load_splits(task, scale, backbone.entry.image_size)
    # Texts are short enough to be encoded in memory. Images are decoded straight into the file.
    pictures: dict[str, Pictures] = {}
    arrays: dict[str, np.ndarray] = {}
    for split in ("train", "validation", "test"):
        columns: Columns = getattr(splits, split)
        image = columns.get("image")
        if isinstance(image, Pictures):
            pictures[f"{split}.inputs.image"] = image
        else:
            for name, tensor in _inputs(task, columns, backbone, max_length).items():
                arrays[f"{split}.inputs.{name}"] = tensor.numpy()
        arrays[f"{split}.targets"] = _targets(task, columns, backbone)
        if isinstance(backbone, TextToTextBackbone):
            arrays[f"{split}.target_ids"] = _answers(task, columns, backbone).numpy()
    layout = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    for name, image in pictures.items():
        count, height, width, channels = image.shape
        layout[name] = (np.dtype(np.uint8), (count, channels, height, width))
    try:
        file = TensorFile(path, layout, splits.note)
    except OSError:
        into = {name: np.empty(shape, dtype) for name, (dtype, shape) in layout.items()}
        _fill(into, arrays, pictures)
        return {name: torch.from_numpy(array) for name, array in into.items()}, splits.note
    try:
        _fill(file.arrays, arrays, pictures)
        file.close()
    except BaseException:
        file.discard()
        raise
    written = tensor_file.read(path)
    assert written is not None, f"{path} was written a moment ago"
    return written


def _fill(
    into: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    pictures: Mapping[str, Pictures],
) -> None:
    for name, array in arrays.items():
        into[name][...] = array
    for name, images in pictures.items():
        start = 0
        for chunk in images.chunks():
            into[name][start : start + len(chunk)] = chunk.transpose(0, 3, 1, 2)
            start += len(chunk)


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
        answers = torch.zeros(count, _longest_answer(task, backbone), dtype=torch.int64)
    lengths = np.ones(count, np.int64) if mask is None else mask.sum(1).numpy()
    return Examples(inputs, torch.zeros(count), answers, lengths)


def _longest_answer(task: TaskEntry, backbone: TextToTextBackbone) -> int:
    """Tokens of the longest answer that a text-to-text backbone may be taught."""
    if isinstance(task.output, Classification):
        possible: np.ndarray = np.arange(len(task.output.labels))
    else:
        assert isinstance(task.output, Regression), "planning refuses other tasks"
        possible = _grid(task.output)
    return _answers(task, {"label": possible}, backbone).shape[1]


def _targets(task: TaskEntry, columns: Columns, backbone: Backbone) -> np.ndarray:
    """What predictions are compared with: the label, rounded where the answers are."""
    label = np.asarray(columns["label"])
    written = isinstance(backbone, TextToTextBackbone)
    if not written or not isinstance(task.output, Regression):
        return label
    return _rounded(label, task.output).astype(np.float32)


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
    texts = [_texts(columns[name]) for name in task.text.columns]
    if isinstance(backbone, TextToTextBackbone):
        rows = zip(*texts, strict=True)
        texts = [
            [
                task.text.template.format(**dict(zip(task.text.columns, row, strict=True)))
                for row in rows
            ]
        ]
    parts = []
    for start in range(0, len(texts[0]), CHUNK):
        encoded = backbone.tokenizer(
            *(column[start : start + CHUNK] for column in texts),
            truncation=True, max_length=max_length, padding="longest", padding_side="right",
            return_tensors="pt",
        )  # fmt: skip
        given = {name: encoded[name] for name in backbone.tokenizer.model_input_names}
        if isinstance(backbone, EncoderBackbone):
            given = never_empty(given, task, backbone)
        parts.append({name: _compact(ids) for name, ids in given.items()})
    answer = 0
    if isinstance(backbone, TextToTextBackbone):
        answer = backbone.beside_source(_longest_answer(task, backbone))
    longest = max(part["input_ids"].shape[1] for part in parts)
    require_positions(task, longest, answer, backbone)
    padding = {"input_ids": backbone.tokenizer.pad_token_id}
    return {
        name: _joined([part[name] for part in parts], padding.get(name, 0)) for name in parts[0]
    }


def _texts(values: Column) -> list[str]:
    assert not isinstance(values, np.ndarray | Pictures), "a column of texts holds texts"
    return list(values)


def _compact(ids: Tensor) -> Tensor:
    """The same numbers in the smallest signed type that holds them: 2 bytes for most vocabularies
    instead of 8. They are small and not negative, but for padding."""
    small = ids.numel() == 0 or int(ids.max()) < 2**15
    return ids.to(torch.int16 if small else torch.int32)


def _joined(parts: Sequence[Tensor], padding: int) -> Tensor:
    """The rows of all parts [n, L] below each other, padded on the right to the longest."""
    longest = max(part.shape[1] for part in parts)
    padded = [F.pad(part, (0, longest - part.shape[1]), value=padding) for part in parts]
    return torch.cat(padded)


def _answers(task: TaskEntry, columns: Columns, backbone: TextToTextBackbone) -> Tensor:
    """Targets as text: the class index, or the number rounded to the task's step."""
    if isinstance(task.output, Classification):
        texts = [str(int(label)) for label in np.asarray(columns["label"])]
    else:
        assert isinstance(task.output, Regression), "planning refuses other tasks"
        digits = _digits(task.output)
        rounded = _rounded(np.asarray(columns["label"]), task.output)
        texts = [f"{number:.{digits}f}" for number in rounded]
    ids = backbone.tokens_of(texts)
    require_readable(backbone, texts, ids)
    return _compact(ids)


STEPS = 25
"""Steps of a regression's range in text, unless the task says how large they are."""


def _step(output: Regression) -> float:
    return output.step or (output.maximum - output.minimum) / STEPS


def _grid(output: Regression) -> np.ndarray:
    """All numbers that a text-to-text backbone may answer, ascending."""
    step = _step(output)
    count = math.floor((output.maximum - output.minimum) / step + 1e-9)
    return np.round(output.minimum + step * np.arange(count + 1), _digits(output))


def _rounded(label: np.ndarray, output: Regression) -> np.ndarray:
    """Each number's nearest one of the grid, float64."""
    grid = _grid(output)
    steps = np.round((label.astype(np.float64) - output.minimum) / _step(output))
    return grid[np.clip(steps, 0, len(grid) - 1).astype(int)]


def _digits(output: Regression) -> int:
    """Decimals in which every number of the grid can be written."""
    written = (f"{number:.6f}".rstrip("0") for number in (_step(output), output.minimum))
    return max(1, *(len(text.partition(".")[2]) for text in written))


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
