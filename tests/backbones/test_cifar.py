import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from suite.backbones import cifar

DATA = os.environ.get("SUITE_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="SUITE_DATA names no folder with real data")

SMALL = {
    "resnet": (lambda: cifar.resnet(8, 16), 64),
    "densenet": (lambda: cifar.densenet(12, (1, 2, 4), 16), 67),
    "vit": (lambda: cifar.vit(24, 4, 64, 4, 4), 64),
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_features_are_pooled_and_have_the_announced_width(name):
    build, width = SMALL[name]
    network = build().eval()
    assert network.num_features == width
    assert network(torch.randn(2, 3, 24, 24)).shape == (2, width)


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_layer_is_called_as_a_module(name):
    network = SMALL[name][0]().eval()
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.LayerNorm)
    }
    called = set()
    for layer in layers:
        layers[layer].register_forward_hook(lambda *_, layer=layer: called.add(layer))
    network(torch.randn(1, 3, 24, 24))
    assert called == set(layers)
    held = sum(count(module) for module in layers.values())
    position = getattr(network, "pos_embed", torch.empty(0)).numel()
    assert held + position == count(network)


# He et al. 2015, table 6 and Huang et al. 2017, table 2 count the 10-way classifier as well.
@pytest.mark.parametrize(("depth", "published"), [(20, 0.27e6), (56, 0.85e6), (110, 1.7e6)])
def test_resnet_has_the_published_size(depth, published):
    network = cifar.resnet(depth)
    assert count(network) + 650 == pytest.approx(published, rel=0.02)


def test_densenet_bc_has_the_published_size():
    network = cifar.densenet(12, (16, 16, 16))
    assert count(network) + 10 * (network.num_features + 1) == pytest.approx(0.8e6, rel=0.05)


def test_resnet_refuses_a_depth_that_is_not_6n_plus_2():
    with pytest.raises(ValueError, match="6n\\+2"):
        cifar.resnet(18)


def test_option_a_shortcut_subsamples_and_pads_with_zeros():
    x = torch.arange(2 * 16.0).reshape(1, 2, 4, 4)
    out = cifar.PaddedShortcut(2, 4, 2)(x)
    assert out.shape == (1, 4, 2, 2)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert not out[:, 0].any() and not out[:, 3].any()


PUBLISHED = {
    "resnet20": (lambda: cifar.resnet(20), 269_072, "module.linear"),
    "resnet56": (lambda: cifar.resnet(56), 852_368, "module.linear"),
    "densenet_bc_k12_6-12-24": (lambda: cifar.densenet(12, (6, 12, 24)), 612_192, "fc"),
}


@needs_data
@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoint_loads_exactly_and_recognises_photographs(name):
    build, parameters, head = PUBLISHED[name]
    state = load_file(Path(DATA) / "models" / "cifar10" / name / "model.safetensors")
    network = build().eval()
    network.load_state_dict(cifar.published_state(state), strict=True)
    assert count(network) == parameters
    x, labels = dogs_and_horses()
    with torch.no_grad():
        logits = network(x) @ state[f"{head}.weight"].T + state[f"{head}.bias"]
    dog, horse = 5, 7  # CIFAR-10's order of classes
    predicted = logits[:, [dog, horse]].argmax(1)
    assert (predicted == labels).float().mean() > 0.8
    assert logits.softmax(1).max(1).values.mean() > 0.7


def dogs_and_horses():
    """PACS photographs of dogs (0) and horses (1), as CIFAR-sized network input."""
    pixels, labels = [], []
    for file in sorted((Path(DATA) / "datasets" / "pacs" / "photo").glob("test-*.parquet")):
        for row in pyarrow.parquet.read_table(file).to_pylist():
            if row["label"] in (0, 4):
                image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
                pixels.append(np.asarray(image.resize((32, 32), Image.Resampling.BOX)))
                labels.append(int(row["label"] == 4))
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return (x - mean) / std, torch.tensor(labels)
