"""Inputs from a user, brought into the columns of a task."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from suite.data.pictures import DAMAGED, as_rgb, resized
from suite.data.splits import Columns
from suite.errors import UserError
from suite.registry.schema import TaskEntry

Question = str | Sequence[str] | Path | Image.Image | np.ndarray
"""A text; a pair of texts; an image, as such, as uint8 [H, W] or [H, W, 3], or as a file."""


def columns_of(task: TaskEntry, questions: Iterable[Question], image_size: int | None) -> Columns:
    """The inputs of a task as columns; images are resized to `image_size` like the task's own.

    Raises `UserError` for an input that the task does not take.
    """
    # A pair of texts and an array are one input, not several.
    one = isinstance(questions, str | Path | Image.Image | np.ndarray | tuple)
    questions = [] if one or not isinstance(questions, Iterable) else list(questions)
    if not questions:
        raise UserError(f"{task.name}: give a list of at least one input")
    if task.text is None:
        assert image_size is not None, "an image backbone states its image size"
        return {"image": np.stack([_image(task, item, image_size) for item in questions])}
    names = task.text.columns
    rows = [_texts(task, names, item) for item in questions]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _texts(task: TaskEntry, names: Sequence[str], item: Question) -> Sequence[str]:
    texts = [item] if isinstance(item, str) else item
    if (
        isinstance(texts, list | tuple)
        and len(texts) == len(names)
        and all(isinstance(text, str) for text in texts)
    ):
        return texts
    wanted = "a text" if len(names) == 1 else "a pair of texts"
    raise UserError(f"{task.name} takes {wanted} ({', '.join(names)}), not {_short(item)}")


def _image(task: TaskEntry, item: Question, size: int) -> np.ndarray:
    try:
        if isinstance(item, str | Path):
            with Image.open(item) as image:
                return resized(as_rgb(ImageOps.exif_transpose(image)), size)
        if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.size:
            return resized(Image.fromarray(item).convert("RGB"), size)
        if isinstance(item, Image.Image):
            return resized(as_rgb(ImageOps.exif_transpose(item)), size)
    except (*DAMAGED, TypeError) as error:
        raise UserError(f"{task.name}: {_short(item)} is no image ({error})") from None
    raise UserError(
        f"{task.name} takes images (PIL, uint8 arrays [H, W, 3] or files), not {_short(item)}"
    )


def _short(item: object) -> str:
    if isinstance(item, np.ndarray):
        return f"an array of {item.dtype} {list(item.shape)}"
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:57]}..."
