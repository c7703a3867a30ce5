"""The residual network of the decathlon is that of its authors, as docs/data.md converts it."""

import re
from pathlib import Path

import numpy as np
import torch
from public_code import CLOSE, drawn, read
from torch import nn

from suite.backbones.decathlon import DecathlonResNet
from suite.backbones.load import load_backbone
from suite.registry import load

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
CODE = re.search("<!-- resnet26 -->\n```python\n(.*?)```", PAGE, re.DOTALL)[1]


class Leaf(nn.Module):
    pass


def published(names):
    """A network with tensors of these names, shapes and values, as nested modules."""
    network = Leaf()
    for name, tensor in names.items():
        *path, last = name.split(".")
        module = network
        for part in path:
            if part not in module._modules:
                module.add_module(part, Leaf())
            module = module._modules[part]
        module.register_buffer(last, tensor)
    return network


def public_names(own):
    """Our names of the network's tensors -> those of the public code."""
    names = {}
    for name in own:
        public = re.sub(r"^bn1\.", "pre_layers_conv.bns.0.", name)
        public = re.sub(r"^conv1\.", "pre_layers_conv.conv.", public)
        public = re.sub(r"\.conv1\.", ".conv1.conv.", public)
        public = re.sub(r"\.conv2\.", ".conv2.1.conv.", public)
        public = re.sub(r"\.bn1\.", ".conv1.bns.0.", public)
        public = re.sub(r"\.bn2\.", ".conv2.1.bns.0.", public)
        names[name] = re.sub(r"^norm\.", "end_bns.0.0.", public)
    return names


def test_the_network_of_the_decathlon_is_that_of_the_public_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUITE_DATA", str(tmp_path / "data"))
    entry = load().backbones["resnet26"]
    _, outputs = read("resnet26", torch.float64)
    network = DecathlonResNet(**entry.source.arguments)
    assert sum(p.numel() for p in network.parameters()) == outputs["parameters"]
    own = network.state_dict()
    state = {
        public: own[name]
        if "num_batches" in name or "running" in name
        else drawn(public, own[name].shape)
        for name, public in public_names(own).items()
    }
    torch.save({"net": published(state | {"linears.0.weight": torch.ones(10, 256)})}, "resnet26.t7")
    exec(CODE, {})
    loaded = load_backbone(entry).network.train()
    images = np.random.RandomState(0).standard_normal((2, 3, 16, 16)).round(2)
    features = loaded.double()(torch.from_numpy(images))
    expected = outputs["features"]
    torch.testing.assert_close(features[:, ::8], expected, **CLOSE)
