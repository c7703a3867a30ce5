"""Costs are counted from the file and equal their closed form."""

import struct

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_backbone

from suite.engine.ledger import closed_form, count, dimensions
from suite.errors import UserError
from suite.registry.schema import Cost, CostTerm


def test_bits_are_counted_by_role_and_type(tmp_path):
    path = tmp_path / "delta.safetensors"
    tensors = {
        "shared/-/a": torch.zeros(10),
        "task/cola/b": torch.zeros(3, 4, dtype=torch.float16),
        "task/rte/mask": torch.zeros(8, dtype=torch.uint8),
        "head/cola/c": torch.zeros(5),
        "buffer/cola/d": torch.zeros(2),
    }
    save_file(tensors, path)
    ledger = count(path)
    assert ledger.shared_bits == 320
    assert ledger.task_bits == {"cola": 12 * 16, "rte": 64}
    assert ledger.head_bits == {"cola": 160}
    assert ledger.buffer_bits == 64
    assert ledger.tensor_bytes == sum(t.numel() * t.element_size() for t in tensors.values())
    assert ledger.file_bytes == path.stat().st_size
    assert ledger.parameters(64) == 2  # sixty-four one-bit masks weigh two parameters


def test_a_file_longer_than_its_header_says_is_refused(tmp_path):
    path = tmp_path / "delta.safetensors"
    save_file({"shared/-/a": torch.zeros(10)}, path)
    path.write_bytes(path.read_bytes() + b"smuggled")
    with pytest.raises(ValueError, match="40 bytes"):
        count(path)


def test_a_tensor_without_a_role_is_refused(tmp_path):
    path = tmp_path / "delta.safetensors"
    save_file({"free/-/a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no known role"):
        count(path)


@pytest.mark.parametrize("family", ["resnet", "densenet", "vit", "bert", "t5"])
def test_dimensions_add_up(family):
    backbone = tiny_backbone(family)
    known = dimensions(backbone)
    listed = known["norm"] + known["gated"] + known["bias"]
    embeddings = sum(
        p.numel()
        for name, p in backbone.network.named_parameters()
        if "embed" in name or "shared" in name or "cls_token" in name or "relative" in name
        if not name.endswith("bias") and "LayerNorm" not in name
    )
    if family in ("resnet", "densenet"):
        assert listed == known["P"]
    else:
        assert listed + embeddings == known["P"]


def test_closed_form_sums_over_sites_and_tasks():
    backbone = tiny_backbone("vit")
    cost = Cost(
        shared=(CostTerm(count="d * 2"),),
        per_task=(
            CostTerm(count="w * rank + 1", each=("attention",)),
            CostTerm(count="opened"),
        ),
    )
    layers = len(backbone.of_kind("attention"))
    facts = {"opened@a": 5, "opened@b": 7}
    shared, per_task = closed_form(cost, backbone, 2, {"rank": 3}, facts)
    assert shared == backbone.width * 2
    assert per_task == 2 * layers * (backbone.width * 3 + 1) + 5 + 7


def test_a_formula_without_a_value_is_named_with_its_key():
    cost = Cost(per_task=(CostTerm(count="d"), CostTerm(count="w//(w - w)", each=("norm",))))
    with pytest.raises(UserError, match=r"cost\.per_task\[1\]\.count: 'w//\(w - w\)' has no value"):
        closed_form(cost, tiny_backbone("vit"), 1, {}, {})


def test_the_header_is_all_that_is_read(tmp_path):
    path = tmp_path / "delta.safetensors"
    save_file({"shared/-/a": torch.zeros(4)}, path)
    data = bytearray(path.read_bytes())
    (header,) = struct.unpack("<Q", data[:8])
    data[8 + header :] = b"\xff" * 16
    path.write_bytes(data)
    assert count(path).shared_bits == 128
