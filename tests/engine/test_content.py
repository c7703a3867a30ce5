"""Which tensors of a delta are rounded, and in what they differ from where training starts."""

import pytest
import torch
from tiny import tiny_backbone, tiny_tasks

from suite.engine.content import Header, rounded_content, values_of
from suite.engine.delta import load_delta, make_rounding, save_delta
from suite.engine.ledger import count, parameters
from suite.engine.rounding import Rounding
from suite.method import Method, adapted, context_of
from suite.registry.schema import Store

HEADER = Header(tasks=("a",))


def rounding(store, starts=(), shapes=()):
    return Rounding(store, dict(starts), dict(shapes))


def stored(tensors, *arguments, **keywords):
    shapes = {key.split("/")[2]: tensor.shape for key, tensor in tensors.items()}
    how = rounding(*arguments, shapes=shapes | keywords.pop("before", {}), **keywords)
    content = rounded_content(tensors, HEADER, how)
    return content, values_of(content, how.starts)


def test_small_changes_of_large_weights_survive():
    start = 100 * torch.randn(8, 64)
    change = 0.01 * torch.randn(8, 64)
    weight = start + change
    _, back = stored({"task/a/w": weight}, Store.INT4, starts={"w": start})
    error = (back["w"] - weight).abs()
    assert error.max() < 0.6 * change.abs().max() / 7
    _, back = stored({"task/a/w": weight}, Store.INT4)
    assert (back["w"] - weight).abs().max() > 1


@pytest.mark.parametrize("store", [Store.INT8, Store.INT4, Store.BINARY])
def test_matrices_become_whole_numbers_and_all_else_bfloat16(store):
    tensors = {
        "task/a/matrix": torch.randn(4, 40),
        "shared/-/kernel": torch.randn(4, 3, 3, 3),
        "task/a/norm": torch.randn(40),
        "head/a/weight": torch.randn(3, 40),
        "buffer/-/mean": torch.randn(40),
        "task/a/bits": torch.arange(9, dtype=torch.uint8),
    }
    content, back = stored(tensors, store)
    assert {key for key, t in content.tensors.items() if t.dtype == torch.bfloat16} == {
        *("task/a/matrix.scale", "shared/-/kernel.scale", "task/a/norm", "head/a/weight"),
        "buffer/-/mean",
    }
    assert torch.equal(back["bits"], tensors["task/a/bits"])
    assert torch.equal(back["norm"], tensors["task/a/norm"].bfloat16().float())
    assert back["kernel"].shape == (4, 3, 3, 3)


def test_bfloat16_holds_every_tensor():
    tensors = {"task/a/matrix": torch.randn(4, 40), "head/a/weight": torch.randn(3, 40)}
    content, back = stored(tensors, Store.BFLOAT16)
    assert {tensor.dtype for tensor in content.tensors.values()} == {torch.bfloat16}
    assert torch.equal(back["matrix"], tensors["task/a/matrix"].bfloat16().float())


def test_a_list_whose_length_training_found_is_rounded_like_a_matrix():
    tensors = {"shared/-/values": torch.randn(100), "shared/-/bias": torch.randn(100)}
    content, back = stored(tensors, Store.INT4, before={"values": (0,)})
    assert content.tensors["shared/-/values.int4"].shape == (50,)
    assert content.tensors["shared/-/bias"].dtype == torch.bfloat16
    assert back["values"].shape == (100,)


@pytest.mark.parametrize("store", [store for store in Store if store is not Store.FLOAT32])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(store, value):
    tensors = {"task/a/w": torch.full((2, 2), value)}
    with pytest.raises(ValueError, match=f"w has values that are not finite: {store} cannot"):
        stored(tensors, store)


class Norms(Method):
    """Trains the norms and a linear layer of the backbone, in place."""

    def adapt(self, backbone, tasks):
        context = context_of(tasks)
        backbone.unfreeze(backbone.of_kind("norm", "linear"))
        return adapted(backbone, tasks, context)


@pytest.fixture
def file(tmp_path):
    method, tasks = Norms(), tiny_tasks("bert", 1)
    model, *fresh = (method.adapt(tiny_backbone("bert"), tasks) for _ in range(3))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn_like(parameter))
    path = tmp_path / "delta.safetensors"
    save_delta(path, model, method, "per_task", rounding=make_rounding(Store.INT4, *fresh))
    return path, method, tasks


def test_only_the_same_backbone_can_take_up_changes(file):
    path, method, tasks = file
    load_delta(path, method.adapt(tiny_backbone("bert"), tasks), method)
    other = tiny_backbone("bert")
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.mul_(1.01)
    with pytest.raises(ValueError, match="changes of other values than training starts from"):
        load_delta(path, method.adapt(other, tasks), method)


def test_bits_follow_from_the_shapes_and_parameters_are_counted_whole(file):
    path, method, tasks = file
    model = method.adapt(tiny_backbone("bert"), tasks)
    own = [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("heads.")]
    bits = 0
    for p in own:
        rows = p.shape[0] if p.ndim > 1 else 0
        # Of 16 inputs, two outputs share a scale.
        scales = rows if p.ndim > 1 and p.shape[1] >= 32 else rows // 2
        bits += 4 * p.numel() + 16 * scales if p.ndim > 1 else 16 * p.numel()
    assert count(path).task_bits == {"a": bits}
    assert parameters(path) == (0, sum(p.numel() for p in own))
