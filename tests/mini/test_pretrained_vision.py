import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from suite.backbones import cifar
from suite.mini import WEIGHTS, images, patterns
from suite.mini.pretrain import vision


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    network = getattr(cifar, config["builder"])(**config["arguments"])
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return network.eval()


@torch.no_grad()
def share_nearest_to_their_category(network):
    """Accuracy of the nearest category mean in feature space, on fresh patterns."""
    pixels, labels = patterns.patterns(images.generator(99), 8, vision.SIZE)
    features = network(vision.normalise(pixels))
    features = (features - features.mean(0)) / features.std(0)
    known = np.arange(len(labels)) % 2 == 0
    centres = torch.stack([features[known & (labels == k)].mean(0) for k in range(max(labels) + 1)])
    nearest = torch.cdist(features[~known], centres).argmin(1).numpy()
    return (nearest == labels[~known]).mean()


@pytest.mark.parametrize("name", vision.BACKBONES)
def test_shipped_weights_are_those_of_the_plan_and_know_the_patterns(name):
    plan = vision.BACKBONES[name]
    config = json.loads((WEIGHTS / name / "config.json").read_text())
    assert config["pretraining"]["builder"] == plan.builder
    assert config["arguments"] == plan.arguments
    trained = share_nearest_to_their_category(load(WEIGHTS / name))
    torch.manual_seed(0)
    untrained = getattr(cifar, plan.builder)(**plan.arguments).eval()
    assert trained > 2 * share_nearest_to_their_category(untrained)


def test_pretraining_is_reproducible_and_writes_what_it_trained(tmp_path):
    plan = vision.Pretraining("resnet", {"depth": 8, "width": 4}, 1e-3, epochs=1, per_category=2)
    network = vision.pretrain(plan)
    again = vision.pretrain(plan)
    vision.save(network, plan, tmp_path)
    x = torch.randn(3, 3, vision.SIZE, vision.SIZE)
    with torch.no_grad():
        assert torch.equal(network(x), again(x))
        assert torch.equal(network(x), load(tmp_path)(x))
