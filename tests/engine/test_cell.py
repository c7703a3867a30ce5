"""One cell, end to end: score and cost come from the file, and the same seed repeats both."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy import write_method, write_tasks

from suite.data.batching import Batches
from suite.engine import cell as cell_module
from suite.engine.cell import SealedTest, run_cell
from suite.engine.cell_checks import CellError
from suite.engine.delta import load_delta
from suite.engine.scoring import predictions
from suite.engine.workspace import Workspace, adapt_model
from suite.method.load import load_method
from suite.planning.plan import Request, plan
from suite.registry import load


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("registry")
        write_tasks(folder)
        write_method(folder, "norms")
        yield load(folder)


@pytest.fixture
def cell(registry):
    request = Request(methods=("norms",), tasks=("reds",), seeds=(3,))
    return plan(request, registry).planned[0].cell


@pytest.fixture
def run(registry, cell, tmp_path):
    def run(name="cell", seed=0):
        torch.manual_seed(seed)
        np.random.seed(seed)
        folder = tmp_path / name
        folder.mkdir()
        workspace = Workspace(registry, torch.device("cpu"), 1)
        return run_cell(cell, workspace, folder, lambda step, steps: None), folder

    return run


def test_the_score_is_that_of_the_saved_file(run, registry, cell):
    result, folder = run()
    workspace = Workspace(registry, torch.device("cpu"), 1)
    method = load_method(registry.methods["norms"], cell.options)
    task = registry.tasks["colours/reds"]
    backbone = workspace.backbone("resnet_mini")
    model = adapt_model(method, backbone, [task], 99, torch.device("cpu"))
    load_delta(folder / "delta.safetensors", model, method)
    test = workspace.task(cell, task).test
    answers = predictions(model, Batches("reds", test, backbone.entry))
    (score,) = result.scores
    assert score.predictions == tuple(answers.tolist())
    assert score.targets == tuple(test.targets.tolist())
    assert score.score == pytest.approx(100 * np.mean(answers == test.targets.numpy()))


def test_a_file_changed_on_its_way_back_is_noticed(run, monkeypatch):
    def tampered(path, *others):
        real(path, *others)
        tensors = load_file(path)
        (name,) = (name for name in tensors if name.startswith("head/") and name.endswith("weight"))
        tensors[name] *= -1
        with cell_module.Path(path).open("rb") as file:
            assert file.read(1)
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            save_file(tensors, path, file.metadata())

    real = cell_module.save_delta
    monkeypatch.setattr(cell_module, "save_delta", tampered)
    with pytest.raises(CellError, match="restored from its file"):
        run()


@pytest.fixture
def untrained(monkeypatch):
    """No step may be taken."""
    monkeypatch.setattr(cell_module, "train", lambda *_: pytest.fail("it trains"))


def test_what_trains_without_effect_is_refused_before_training(registry, cell, tmp_path, untrained):
    workspace = Workspace(registry, torch.device("cpu"), 1)
    norm = workspace.backbone("resnet_mini").network.layer2[0].bn1
    norm.register_forward_hook(lambda module, args, output: output.detach())
    with pytest.raises(CellError, match=r"layer2\.0\.bn1.* stored without effect"):
        run_cell(cell, workspace, tmp_path, lambda step, steps: None)


def test_a_wrong_closed_form_is_refused_before_training(registry, cell, tmp_path, untrained):
    entry = registry.methods["norms"]
    wrong = entry.model_copy(update={"cost": entry.cost.model_copy(update={"per_task": ()})})
    other = dataclasses.replace(registry, methods={**registry.methods, "norms": wrong})
    workspace = Workspace(other, torch.device("cpu"), 1)
    with pytest.raises(CellError, match=r"closed form cost\.per_task in norms\.yaml gives 0"):
        run_cell(cell, workspace, tmp_path, lambda step, steps: None)


def test_the_ledger_is_the_file(run):
    result, folder = run()
    path = folder / "delta.safetensors"
    tensors = load_file(path)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    ledger = result.ledger
    assert ledger.tensor_bytes == size
    assert ledger.file_bytes == path.stat().st_size
    bits = ledger.shared_bits + ledger.buffer_bits
    bits += sum(ledger.task_bits.values()) + sum(ledger.head_bits.values())
    assert bits == 8 * size


def test_the_same_seed_gives_the_same_file_and_answers(run):
    first, folder = run("first", seed=1)
    again, other = run("again", seed=2)
    assert (folder / "delta.safetensors").read_bytes() == (other / "delta.safetensors").read_bytes()
    assert first.scores == again.scores
    assert first.ledger == again.ledger


def test_the_result_says_where_and_with_what(run):
    result, _ = run()
    assert result.environment.device == "cpu"
    assert result.environment.threads == 1
    assert {"python", "torch"} <= result.environment.versions.keys()
    assert result.peak_memory_bytes > 50_000_000
    assert 0 < result.train_seconds <= result.total_seconds
    assert result.processor_seconds > 0
    assert result.steps == 12
    norms = result.trained_parameters - 2 * 65
    assert result.ledger.task_bits == {"reds": 32 * norms}


def test_test_examples_open_once():
    sealed = SealedTest("examples")
    assert sealed.open() == "examples"
    with pytest.raises(RuntimeError, match="opened before"):
        sealed.open()


def test_the_backbone_is_bit_for_bit_what_it_was(registry, cell, tmp_path):
    workspace = Workspace(registry, torch.device("cpu"), 1)
    state = workspace.backbone("resnet_mini").network.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    run_cell(cell, workspace, tmp_path, lambda step, steps: None)
    after = workspace.backbone("resnet_mini").network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
