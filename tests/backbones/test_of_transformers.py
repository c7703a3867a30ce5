"""Networks for images that transformers wrote: features are those that it computes, sites those of
the same network of timm."""

import json

import pytest
import torch
import transformers as hf
from checkpoints import edit, entry, image_checkpoint, weights_of

from suite.backbones.load import load_backbone
from suite.errors import UserError

SIZE = 32
VIT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
    "image_size": SIZE, "patch_size": 8,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 2, 1, 1]}
RESNET = {"hidden_sizes": [64, 32, 32, 48], "depths": [1, 2, 1, 1]}
SWIN = {
    "image_size": SIZE, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4],
    "window_size": 4,
}  # fmt: skip
OF_TIMM = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": SIZE, "patch_size": 8}
BEIT_OF_TIMM = ("beit_base_patch16_224", OF_TIMM)
CONVNEXT = {"depths": (1, 2, 1, 1), "dims": (8, 16, 16, 32)}
NETWORKS = {
    "beit": ("beit", "Beit", VIT | {"use_relative_position_bias": True}, BEIT_OF_TIMM),
    "beit of its class token": (
        "beit",
        "Beit",
        VIT | {"use_shared_relative_position_bias": True, "use_mean_pooling": False},
        ("beit_base_patch16_224", OF_TIMM | {"global_pool": "token"}),
    ),
    "data2vec": (
        "beit",
        "Data2VecVision",
        VIT | {"use_relative_position_bias": True},
        BEIT_OF_TIMM,
    ),
    "swin": (
        "swin",
        "Swin",
        SWIN,
        (
            "swin_tiny_patch4_window7_224",
            {
                "img_size": SIZE, "patch_size": 2, "embed_dim": 16, "depths": (2, 2),
                "num_heads": (2, 4), "window_size": 4,
            },
        ),
    ),
    "convnext": ("convnext", "ConvNext", STAGES, ("convnext_tiny", CONVNEXT)),
    "convnextv2": ("convnext", "ConvNextV2", STAGES, ("convnextv2_tiny", CONVNEXT)),
    "resnet18": (
        "resnet",
        "ResNet",
        RESNET | {"layer_type": "basic"},
        ("resnet18", {"layers": (1, 2, 1, 1), "channels": (64, 32, 32, 48)}),
    ),
    "resnet50": (
        "resnet",
        "ResNet",
        RESNET,
        ("resnet50", {"layers": (1, 2, 1, 1), "channels": (16, 8, 8, 12)}),
    ),
}  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    return tmp_path


def save(root, name, image_size=SIZE):
    """The network as a classifier below `root`, and the entry that names it."""
    family, kind, arguments, _ = NETWORKS[name]
    made = getattr(hf, f"{kind}ForImageClassification")
    torch.manual_seed(0)
    network = made(made.config_class(**arguments)).eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape))
    network.save_pretrained(root / "models" / "own")
    return network, entry(root, family, "transformers", "image", image_size)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_transformers_computes(root, name):
    network, own = save(root, name)
    backbone = load_backbone(own)
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        expected = network.base_model(images).pooler_output.flatten(1)
        torch.testing.assert_close(backbone({"image": images}), expected, rtol=1e-4, atol=1e-5)
    parameters = sum(each.numel() for each in network.base_model.parameters())
    zeros = 2 * 32 if own.family == "beit" else 0  # biases of keys, beside those of queries
    assert backbone.parameter_count() == parameters + zeros
    assert backbone.note == ""


@pytest.mark.parametrize("name", NETWORKS)
def test_its_sites_are_those_of_the_network_of_timm(root, name, monkeypatch):
    _, own = save(root, name)
    backbone = load_backbone(own)
    architecture, arguments = NETWORKS[name][3]
    monkeypatch.setenv("SUITE_DATA", str(root / "timm"))
    other = image_checkpoint(root / "timm", own.family, architecture, SIZE, **arguments)
    assert backbone.sites == load_backbone(other).sites


@pytest.mark.parametrize("name", NETWORKS)
def test_a_tensor_that_is_missing_or_has_no_place_is_named(root, name):
    _, own = save(root, name)
    state = {}
    edit(root, lambda found: state.update(found) or found | {"more.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"holds the tensor 'more.weight', for which"):
        load_backbone(own)
    lost = sorted(name for name in state if "encoder" in name)[3]
    edit(root, lambda _: {name: tensor for name, tensor in state.items() if name != lost})
    with pytest.raises(UserError, match=rf"{lost.partition('.')[2]}.* is not in it"):
        load_backbone(own)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("beit", "hidden_act", "relu"),
        ("swin", "use_absolute_embeddings", True),
        ("convnext", "hidden_act", "relu"),
        ("resnet50", "downsample_in_bottleneck", True),
        ("resnet18", "num_channels", 1),
    ],
)
def test_a_form_that_computes_something_else_is_refused(root, name, key, value):
    _, own = save(root, name)
    file = root / "models" / "own" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(UserError, match=f"{key} must be .*, not {value}"):
        load_backbone(own)


def test_relative_positions_are_interpolated_and_it_is_said(root, capsys):
    _, own = save(root, "beit", image_size=48)
    backbone = load_backbone(own)
    assert "[52, 2] in" in backbone.note and "interpolated to [124, 2]" in backbone.note
    assert str(weights_of(root)) in backbone.note and backbone.note in capsys.readouterr().err
    assert backbone({"image": torch.zeros(1, 3, 48, 48)}).shape == (1, 32)


def test_windows_stay_as_they_are_for_other_images(root):
    network, own = save(root, "swin", image_size=64)
    backbone = load_backbone(own)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.base_model(images).pooler_output
        torch.testing.assert_close(backbone({"image": images}), expected, rtol=1e-4, atol=1e-5)
    assert backbone.note == ""
