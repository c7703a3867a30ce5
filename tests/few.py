"""Embedded tasks with few validation and test examples, where a test asks nothing of their score.

Most of the time of a short cell goes to the 2,000 test examples of its task.
"""

from dataclasses import replace

import numpy as np
import pytest

from suite.data import encode
from suite.data.sources import load_splits
from suite.data.splits import Columns, Splits, take

COUNT = 48


def few_examples(patch: pytest.MonkeyPatch, cache) -> None:
    """Cells of this process are scored on the first `COUNT`; `cache` is a folder of their own."""
    patch.setenv("XDG_CACHE_HOME", str(cache))
    patch.setattr(encode, "load_splits", _few)


def few_tests(task) -> Columns:
    """The test examples that are left of an embedded task."""
    return _few(task, "mini", None).test


_known: dict[object, Splits] = {}
"""What generators gave, by what they are asked: they are the same in every folder."""


def _few(task, scale, image_size) -> Splits:
    source = task.sources.at(scale)
    key = task.path, repr(source), scale, image_size
    if key not in _known:
        splits, rows = load_splits(task, scale, image_size), np.arange(COUNT)
        _known[key] = replace(
            splits, validation=take(splits.validation, rows), test=take(splits.test, rows)
        )
    return _known[key]
