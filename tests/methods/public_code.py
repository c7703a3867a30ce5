"""Numbers that public code gave, and networks of one block to hold against them."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_tasks, wrap
from torch import nn

from suite.method.load import load_method

PUBLIC = Path(__file__).with_name("public")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def read(name, dtype=None):
    """A file's inputs and outputs; lists are tensors, of `dtype` or torch's own choice."""
    content = json.loads((PUBLIC / f"{name}.json").read_text())
    return _tensors(content["inputs"], dtype), _tensors(content["outputs"], dtype)


def _tensors(value, dtype):
    if isinstance(value, dict):
        return {name: _tensors(own, dtype) for name, own in value.items()}
    return torch.tensor(value, dtype=dtype) if isinstance(value, list) else value


def drawn(name, shape):
    """Weights that are not in a file: 0.3 N(0, 1) in float64, seeded by the name that the public
    code gives them. NumPy promises these numbers for all its versions."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return torch.from_numpy(0.3 * generator.standard_normal(tuple(shape)))


class OneBlock(nn.Module):
    """A network that consists of one block."""

    def __init__(self, block, features):
        super().__init__()
        self.layer1 = nn.Sequential(block)
        self.num_features = features

    def forward(self, x):
        return self.layer1(x)


def adapted_by(name, family, network, **changes):
    """The model of a method around a network, for one task `a`."""
    options = mini_options(ENTRIES[name]) | changes
    return load_method(ENTRIES[name], options).adapt(wrap(family, network), tiny_tasks(family, 1))


@torch.no_grad()
def write(tensors, values):
    """Give tensors their values by name; both have the same names."""
    assert tensors.keys() == values.keys()
    for name, tensor in tensors.items():
        assert tensor.shape == values[name].shape, name
        tensor.copy_(values[name])


def write_all(module, values, names):
    """Give every parameter of a module its public value; dotted name -> public name."""
    assert dict(module.named_parameters()).keys() == names.keys()
    own = {public: name for name, public in names.items()}
    assert len(own) == len(names)
    write(named(module, own), values)


def named(module, names):
    """Tensors of a module, under the public code's names: public name -> dotted name."""
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {public: own[name] for public, name in names.items()}


def norm_names(public, name):
    """The names of a batch norm's tensors."""
    ends = ("weight", "bias", "running_mean", "running_var")
    return {f"{public}.{end}": f"{name}.{end}" for end in ends}


def assert_gradients(tensors, expected):
    """The gradients of tensors are those of the public code, by its names."""
    assert expected.keys() <= tensors.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(tensors[name].grad, gradient, msg=name, **CLOSE)
