import pytest
import torch
from networks import meta_backbone
from public_code import CLOSE, read
from registered import ENTRIES, mini_options
from safetensors import safe_open
from tiny import tiny_backbone, tiny_tasks, train_briefly
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.engine.delta import save_delta
from suite.engine.ledger import closed_form
from suite.method.load import load_method
from suite.nn.masked import masked
from suite.registry import load


def test_a_file_holds_bits_and_a_head_and_nothing_else(tmp_path):
    entry = ENTRIES["piggyback"]
    method = load_method(entry, mini_options(entry))
    model = method.adapt(tiny_backbone("resnet"), tiny_tasks("resnet", 1))
    train_briefly(model, method, "resnet")
    path = tmp_path / "delta.safetensors"
    save_delta(path, model, method, "per_task")
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    masks = {key: t for key, t in tensors.items() if not key.startswith("head/")}
    assert {tensor.dtype for tensor in masks.values()} == {torch.uint8}
    zeros = sum(
        8 * tensor.numel() - sum(bin(byte).count("1") for byte in tensor.tolist())
        for tensor in masks.values()
    )
    assert zeros == method.facts(model)["dropped_weights"] > 0


@pytest.mark.parametrize("network", ["resnet50", "densenet121"])
def test_the_published_total_is_that_of_masks_for_five_tasks(network):
    track = load().tracks["imagenet-to-sketch"]
    rows = [r for r in track.published if (r.method, r.backbone) == ("piggyback", network)]
    (row,) = (r for r in rows if "counted in bits" in r.setting)
    entry, backbone = ENTRIES["piggyback"], meta_backbone(network)
    _, masks = closed_form(entry.cost, backbone, 5, mini_options(entry), {})
    assert row.total_x == pytest.approx(1 + masks / backbone.parameter_count(), abs=5e-4)


def test_a_mask_over_all_of_a_resnet_50_weighs_a_32nd_of_its_weights():
    entry = ENTRIES["piggyback"]
    backbone = meta_backbone("resnet50")
    weights = backbone.parameter_count() - 53_120
    assert closed_form(entry.cost, backbone, 1, mini_options(entry), {}) == (0, weights / 32)


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_a_masked_layer_is_that_of_the_public_code(kind):
    given, expected = read("piggyback")
    inputs, outputs = given[kind], expected[kind]
    layer = nn.Conv2d(3, 4, 3, 2, 1) if kind == "conv" else nn.Linear(5, 4)
    with torch.no_grad():
        layer.weight.copy_(inputs["weight"])
        layer.bias.copy_(inputs["bias"])
    options = {name: option.default for name, option in ENTRIES["piggyback"].options.items()}
    replaced = masked(layer, TaskContext(["a"]), options["initial_score"], options["threshold"])
    score = replaced.transforms.by_task["a"].score
    assert score.flatten()[0].item() == pytest.approx(outputs["start"])
    with torch.no_grad():
        score.copy_(inputs["scores"])
    y = replaced(inputs["x"])
    torch.testing.assert_close(y.detach(), outputs["y"], **CLOSE)
    (y * inputs["direction"]).sum().backward()
    torch.testing.assert_close(score.grad, outputs["scores"], **CLOSE)
