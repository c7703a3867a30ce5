"""Numbers that public code gave, from the files in `public/`, as float64 tensors."""

import json
from pathlib import Path

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


def put(tensors, module, names):
    """Copy public tensors into a module; `names` says which one each of its parameters is."""
    parameters = dict(module.named_parameters())
    assert parameters.keys() == names.keys()
    assert sorted(tensors) == sorted(names.values())
    with torch.no_grad():
        for own, public in names.items():
            assert parameters[own].shape == tensors[public].shape, own
            parameters[own].copy_(tensors[public])
