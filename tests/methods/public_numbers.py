"""Numbers that public code gave, from the files in `public/`, as float64 tensors."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

PUBLIC = Path(__file__).parent / "public"


def read_public(name):
    """A file's inputs and outputs: tensors for lists and numbers, within dicts."""
    content = json.loads((PUBLIC / f"{name}.json").read_text())
    return _tensors(content["inputs"]), _tensors(content["outputs"])


def _tensors(value):
    if isinstance(value, dict):
        return {key: _tensors(inner) for key, inner in value.items()}
    return torch.tensor(value, dtype=torch.float64)


def drawn(name, shape):
    """Weights that are not in a file: 0.3 N(0, 1), seeded by the name that the public code gives
    them. NumPy promises these numbers for all its versions."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return torch.from_numpy(0.3 * generator.standard_normal(tuple(shape)))


def put(tensors, module, names):
    """Copy public tensors into a module; `names` says which one each of its parameters is."""
    parameters = dict(module.named_parameters())
    assert parameters.keys() == names.keys()
    assert sorted(tensors) == sorted(names.values())
    with torch.no_grad():
        for own, public in names.items():
            assert parameters[own].shape == tensors[public].shape, own
            parameters[own].copy_(tensors[public])
