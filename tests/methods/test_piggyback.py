import torch
from networks import meta_backbone
from registered import ENTRIES, mini_options
from safetensors import safe_open
from tiny import tiny_backbone, tiny_tasks, train_briefly

from suite.engine.delta import save_delta
from suite.engine.ledger import closed_form
from suite.method.load import load_method


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


def test_a_mask_over_all_of_a_resnet_50_weighs_a_32nd_of_its_weights():
    entry = ENTRIES["piggyback"]
    backbone = meta_backbone("resnet50")
    weights = backbone.parameter_count() - 53_120
    assert closed_form(entry.cost, backbone, 1, mini_options(entry), {}) == (0, weights / 32)
