"""Random weights are read by what reads the real ones, and have their number."""

import pytest

from suite.backbones.load import load_backbone
from suite.backbones.made_up import write_weights
from suite.errors import UserError
from suite.registry import load

BACKBONES = load().backbones
# Of the published networks, without output layers and poolers.
PARAMETERS = {
    "resnet20": 269_072,
    "vit_tiny": 5_524_416,
    "minilm": 22_565_376,
    "t5_small": 60_506_624,
}
LARGE = {
    "resnet50": 23_508_032,
    "densenet121": 6_953_856,
    "vit_b16": 85_798_656,
    "bert_base": 108_891_648,
    "roberta_base": 124_055_040,
    "t5_base": 222_903_552,
}


def written(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    write_weights(BACKBONES[name], tmp_path)
    return load_backbone(BACKBONES[name])


@pytest.mark.parametrize("name", PARAMETERS)
def test_random_weights_are_those_of_the_catalogues_network(name, tmp_path, monkeypatch):
    assert written(name, tmp_path, monkeypatch).parameter_count() == PARAMETERS[name]


@pytest.mark.nightly
@pytest.mark.parametrize("name", LARGE)
def test_random_weights_are_those_of_a_large_network(name, tmp_path, monkeypatch):
    assert written(name, tmp_path, monkeypatch).parameter_count() == LARGE[name]


def test_an_entry_that_does_not_say_its_form_is_named(tmp_path):
    entry = BACKBONES["minilm"]
    source = entry.source.model_copy(update={"configuration": {}})
    with pytest.raises(UserError, match=r"minilm: source\.configuration does not say"):
        write_weights(entry.model_copy(update={"source": source}), tmp_path)
