"""DiSparse keeps what any task votes for, as the public code does, and trains nothing else."""

import json
from pathlib import Path

import pytest
import torch
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_tasks, train_briefly
from torch import nn

from suite.engine.delta import load_delta, save_delta
from suite.engine.ledger import count
from suite.method.load import load_method
from suite.nn.sparse import SparseWeights, most_important

PUBLIC = Path(__file__).parent / "public" / "disparse.json"


def trained(family, **changes):
    entry = ENTRIES["disparse"]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone(family), tiny_tasks(family))
    train_briefly(model, method, family, steps=8)
    return method, model


@pytest.mark.parametrize("keep", ["0.5", "0.3", "0.1"])
def test_the_vote_of_all_tasks_is_that_of_the_public_code(keep):
    content = json.loads(PUBLIC.read_text())
    network = nn.ModuleDict(
        {"backbone": nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))}
    )
    weights = content["inputs"]["weights"]
    network.load_state_dict({name: torch.tensor(own) for name, own in weights.items()})
    layers = [network["backbone"][0], network["backbone"][3]]
    sparse = SparseWeights(layers)
    images = [torch.tensor(own) for own in content["inputs"]["images"]]

    def losses(task):
        for batch in images:
            outputs = network["backbone"](batch)
            yield (outputs[:, :2] if task == "one" else outputs[:, 2:]).sub(1.0).square().mean()

    masks = [most_important(losses(task), sparse.weights, float(keep)) for task in ("one", "two")]
    sparse.prune(torch.stack(masks).any(0))
    for layer, name in zip(layers, ("backbone.0", "backbone.3"), strict=True):
        expected = torch.tensor(content["outputs"][keep][name])
        torch.testing.assert_close((layer.weight != 0).int(), expected.int())
        kept = torch.tensor(weights[f"{name}.weight"]) * expected
        torch.testing.assert_close(layer.weight.detach(), kept)


@pytest.mark.parametrize("family", ["resnet", "bert"])
def test_after_the_vote_only_kept_weights_train(family):
    _, model = trained(family, keep=0.2)
    flat = torch.cat([weight.detach().flatten() for weight in model.parts["sparse"].weights])
    mask = model.parts["sparse"].mask
    share = mask.float().mean()
    assert 0.2 <= share <= 0.4
    assert flat[~mask].count_nonzero() == 0
    first = tiny_backbone(family)
    sites = first.of_kind("conv", "linear", "patch_embedding")
    start = torch.cat([first.module(site).weight.flatten() for site in sites])
    assert (flat != start)[mask].float().mean() > 0.9
    model.parts["sparse"].weights[0].square().sum().backward()
    gradient = model.parts["sparse"].weights[0].grad
    assert torch.equal(gradient, 2 * model.parts["sparse"].weights[0].detach())


@pytest.mark.parametrize("keep", [0.1, 0.5])
def test_the_file_is_smaller_the_less_is_kept(keep, tmp_path):
    method, model = trained("bert", keep=keep)
    path = tmp_path / "delta.safetensors"
    save_delta(path, model, method, "joint")
    facts = method.facts(model)
    dropped = facts["sparse_weights"] - facts["kept_weights"]
    bits = 8 * ((facts["sparse_weights"] + 7) // 8)
    whole = 32 * tiny_backbone("bert").parameter_count()
    assert count(path).shared_bits == whole - 32 * dropped + bits < whole
    restored = method.adapt(tiny_backbone("bert"), tiny_tasks("bert"))
    load_delta(path, restored, method)
    for ours, theirs in zip(
        model.parts["sparse"].weights, restored.parts["sparse"].weights, strict=True
    ):
        assert torch.equal(ours, theirs)
