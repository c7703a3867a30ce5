"""`suite check BACKBONE` on real architectures, and that it finds what is wrong with some."""

import dataclasses
import json
import sys
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[1] / "backbones"))
from architectures import NETWORKS, VIT, Small
from checkpoints import entry
from small_networks import WRITERS, save_writer
from tiny import tiny_backbone

from suite.backbones.load import load_backbone
from suite.backbones.probe import site_faults
from suite.cli.main import main
from suite.contract.networks import check_backbone
from suite.errors import UserError
from suite.planning.locate import Missing, locate_model
from suite.registry import load
from suite.registry.schema import Scale

SOME = (
    "adapters", "bitfit", "dora", "lora", "norm_tuning", "parallel_adapters", "piggyback", "rcm",
    "residual_adapters", "taps",
)  # fmt: skip
"""One method of every way to change a network; `check` itself runs all of them."""


@cache
def methods(names=SOME):
    registry = load()
    return tuple(registry.methods[name] for name in names)


@cache
def references():
    return tuple(tiny_backbone(family) for family in ("resnet", "densenet", "vit", "bert", "t5"))


def faults(backbone, names=SOME):
    """Check -> fault, with the methods of these names."""
    found = check_backbone(backbone, methods(names), references())
    return {each.check: each.fault for each in found if each.fault}


ORDINARY = (
    "beit_base_patch16_224", "resnet50_gn",
    "BertForPreTraining", "AlbertModel", "LlamaModel", "T5 v1.1",
)  # fmt: skip
"""Networks that every run looks at, with those that are refused; the night has the others."""


def of_the_night(small):
    ordinary = not small.served or str(small) in ORDINARY
    return pytest.param(small, marks=() if ordinary else pytest.mark.nightly)


@pytest.mark.parametrize("small", [*map(of_the_night, NETWORKS)], ids=str)
def test_a_network_is_sound_or_refused_by_name(small, tmp_path, monkeypatch):
    backbone = loaded(small, tmp_path, monkeypatch)
    assert backbone is None or faults(backbone) == {}


def loaded(small, root, monkeypatch):
    """The backbone of a network; None if it is refused, as it may be, by its name."""
    monkeypatch.setenv("SUITE_DATA", str(root))
    try:
        return load_backbone(small.save(root))
    except UserError as refusal:
        assert not small.served, refusal
        assert any(name in str(refusal) for name in architectures(root, small)), refusal
        return None


@pytest.mark.nightly
@pytest.mark.parametrize("small", [small for small in NETWORKS if small.served], ids=str)
def test_every_method_is_sound_on_a_network_or_refuses_it(small, tmp_path, monkeypatch):
    assert every_fault(loaded(small, tmp_path, monkeypatch)) == {}


@pytest.mark.nightly
@pytest.mark.parametrize("form", ["text", "text_to_text"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_method_is_sound_on_a_language_model(name, form, tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    save_writer(name, tmp_path / "models" / "own")
    family = "gpt2" if name == "gpt2" else "decoder"
    own = entry(tmp_path, family, "transformers", "text").model_copy(update={"form": form})
    assert every_fault(load_backbone(own)) == {}


def every_fault(backbone):
    """What all methods find, with the options of the embedded scale, which suit small networks."""
    backbone.entry = backbone.entry.model_copy(update={"scale": Scale.MINI})
    every = tuple(load().methods.values())
    return {f.check: f.fault for f in check_backbone(backbone, every, references()) if f.fault}


def architectures(root, small):
    """The names that a network's architecture has: of its class, and of its configuration."""
    config = json.loads((root / "models/own/config.json").read_text())
    made = ()
    if "model_type" not in config:
        made = (type(timm.create_model(small.name, **small.arguments)).__name__,)
    return (*made, small.name, *(config[key] for key in ("model_type",) if key in config))


CATALOGUE = load().backbones


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if entry.scale.embedded else pytest.mark.nightly)
        for name, entry in CATALOGUE.items()
    ],
)
def test_an_entry_of_the_catalogue_is_sound(name):
    entry = CATALOGUE[name]
    missing = locate_model(entry)
    if isinstance(missing, Missing):
        pytest.skip(f"{missing.what} are not on this machine")
    assert faults(load_backbone(entry)) == {}


def read_not_called(backbone):
    """Let the first attention read the weight of its qkv, as BEiT's does."""
    attention = backbone.network.blocks[0].attn

    class Attention(type(attention)):
        def forward(self, x, **_):
            q, k, v = nn.functional.linear(x, self.qkv.weight, self.qkv.bias).chunk(3, -1)
            return self.proj(nn.functional.scaled_dot_product_attention(q, k, v))

    attention.__class__ = Attention
    return backbone


def test_a_layer_whose_weight_is_read_is_found():
    backbone = read_not_called(tiny_backbone("vit"))
    assert "blocks.0.attn.qkv, a site of the kind linear, is never called" in next(
        iter(site_faults(backbone))
    )
    assert faults(backbone).keys() == {"sites"}


def test_what_methods_train_without_effect_is_found():
    backbone = tiny_backbone("vit")
    backbone.network.blocks[0].attn.register_forward_hook(lambda _, args, out: out.detach())
    found = faults(backbone, ("lora", "dora", "taps"))
    assert found["weights matter"].startswith("the answers do not depend on blocks.0.")
    for name in ("lora", "dora", "taps"):
        assert "blocks.0." in found[name] and "stored without effect" in found[name]


class Halved(nn.Conv2d):
    """A convolution that does more with its weight, in the way of a method of its base class."""

    def forward(self, x):
        return super().forward(x) / 2


def resnet():
    return tiny_backbone("resnet")


def test_a_site_of_another_width_is_found():
    backbone = resnet()
    first, *others = backbone.sites
    backbone.sites = (dataclasses.replace(first, width=first.width + 1), *others)
    assert f"not the width {first.width + 1}" in faults(backbone)["sites"]


def test_a_site_that_does_not_exist_is_found():
    backbone = resnet()
    first, *others = backbone.sites
    backbone.sites = (dataclasses.replace(first, name="layer9.conv"), *others)
    assert "there is no layer9.conv" in faults(backbone)["sites"]


def test_a_norm_that_a_sublayer_does_not_read_is_found():
    backbone = tiny_backbone("vit")
    lying = next(site for site in backbone.sites if site.kind == "attention")
    own = dataclasses.replace(lying, entry_norm=lying.entry_norm.replace("norm1", "norm2"))
    backbone.sites = tuple(own if site == lying else site for site in backbone.sites)
    assert "does not read what the norm blocks.0.norm2 gives" in faults(backbone)["sites"]


@pytest.mark.parametrize(
    ("name", "family", "arguments"),
    [
        ("resnext26ts", "resnet", {}),
        ("vit_small_patch16_18x2_224", "vit", VIT),
        ("resnetv2_50d_frn", "resnetv2", {"layers": (1, 1, 1, 1), "stem_chs": 16}),
    ],
)
def test_a_form_that_a_family_does_not_serve_is_refused_by_name(
    name, family, arguments, tmp_path, monkeypatch
):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    own = Small(family, name, arguments=arguments).save(tmp_path)
    with pytest.raises(
        UserError, match=f"'{name}', which the family {family} does not serve in"
    ) as said:
        load_backbone(own)
    assert "families and what they serve of timm: beit (beit_*" in str(said.value)


def test_a_norm_at_no_site_is_found():
    backbone = resnet()
    backbone.network.pool = nn.Sequential(backbone.network.pool, nn.GroupNorm(1, backbone.width))
    assert "pool.1 (GroupNorm)" in faults(backbone, ())["layers at sites"]


def test_a_weight_that_nothing_depends_on_is_found():
    backbone = resnet()
    norm = backbone.network.layer1[0].bn2
    norm.register_forward_hook(lambda module, args, output: output.detach() * 0)
    assert "the answers do not depend on layer1.0" in faults(backbone, ())["weights matter"]


def test_a_network_without_finite_answers_is_found():
    backbone = resnet()
    backbone.network.layer3[0].bn2.running_var.fill_(float("nan"))
    assert "not finite" in faults(backbone)["sites"]


def test_a_layer_that_a_method_replaces_by_another_is_found(monkeypatch):
    from suite.nn import task_weights

    backbone = resnet()
    conv = backbone.network.layer1[0].conv1
    halved = Halved(conv.in_channels, conv.out_channels, 3, padding=1, bias=False)
    halved.load_state_dict(conv.state_dict())
    backbone.network.layer1[0].conv1 = halved.requires_grad_(False)
    backbone._mark_originals()
    assert faults(backbone) == {}
    monkeypatch.setattr(task_weights, "_is_plain", lambda *_: True)
    found = faults(backbone, ("taps", "piggyback", "rcm"))
    assert {"taps", "piggyback", "rcm"} == found.keys()
    assert "before any training its answers differ" in found["taps"]


def test_a_wrong_closed_form_is_found_before_training():
    (lora,) = [entry for entry in methods() if entry.name == "lora"]
    wrong = lora.model_copy(update={"cost": lora.cost.model_copy(update={"per_task": ()})})
    found = [f for f in check_backbone(resnet(), [wrong], references()) if f.fault]
    assert "the closed form cost.per_task in lora.yaml gives 0" in found[0].fault


def test_the_command_answers_in_json(capsys, monkeypatch):
    monkeypatch.setattr(
        "suite.contract.networks.check_backbone",
        lambda backbone, every, sound: check_backbone(backbone, methods(), references()),
    )
    assert main(["check", "resnet_mini", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "resnet_mini" and told["faults"] == 0
    assert {"loads whole", "sites", "lora", "taps"} <= {row["check"] for row in told["checks"]}


def test_the_command_ends_with_one_for_a_fault(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "suite.contract.networks.site_faults", lambda backbone: iter(["there is no layer"])
    )
    assert main(["check", "resnet-mini"]) == 1
    assert "FAULT there is no layer" in capsys.readouterr().out


def test_weights_that_are_not_here_are_no_fault_but_a_wrong_use(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert main(["check", "resnet50"]) == 2
    assert "weights of backbone resnet50" in capsys.readouterr().err


def test_the_probe_leaves_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(site_faults(tiny_backbone("bert")))
    assert torch.equal(torch.rand(3), expected)
