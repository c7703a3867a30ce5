"""Cells whose training starts from the delta of another, and those that train on few examples."""

import pytest
import torch
from tiny import tiny_backbone, tiny_tasks, train_briefly
from toy import write_tasks

import suite
from suite.engine.cell import train_cell
from suite.engine.delta import live_tensors, save_delta, start_from
from suite.engine.workspace import Workspace, adapt_model
from suite.errors import Unsupported, UserError
from suite.method.load import load_method
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Scale

REGISTRY = load()
CPU = torch.device("cpu")


def method_of(name):
    entry = REGISTRY.methods[name]
    return entry, load_method(entry, default_options(entry, Scale.MINI))


def trained(name, family, path, count):
    """A model of a method trained on some tasks, and the method; its delta at `path`."""
    entry, method = method_of(name)
    model = adapt_model(method, tiny_backbone(family), tiny_tasks(family, count), 0, CPU)
    train_briefly(model, method, family, steps=2)
    save_delta(path, model, method, entry.regime)
    return model, method


@pytest.mark.parametrize(
    ("name", "family", "count"),
    [
        ("lora", "bert", 1),
        ("full_finetuning", "resnet", 1),
        ("hyperformer_pp", "t5", 2),
        ("hyperformer", "bert", 2),
        ("shared_finetuning", "vit", 2),
    ],
)
def test_a_new_task_starts_from_what_another_has_and_all_share(name, family, count, tmp_path):
    delta = tmp_path / "delta.safetensors"
    before, method = trained(name, family, delta, count)
    like = "ab"[count - 1]
    *_, task = tiny_tasks(family, 3)
    new = adapt_model(method, tiny_backbone(family), [task], 1, CPU)
    fresh = {key: tensor.clone() for key, tensor in live_tensors(new).items()}
    start_from(delta, like, new, REGISTRY.methods[name].regime)
    source = live_tensors(before)
    assert source
    for key, tensor in live_tensors(new).items():
        if key.startswith("heads."):
            assert torch.equal(tensor, fresh[key]), key
        else:
            assert torch.equal(tensor, source[key.replace(".c.", f".{like}.")]), key


def test_a_mask_is_no_start(tmp_path):
    delta = tmp_path / "delta.safetensors"
    _, method = trained("piggyback", "bert", delta, 1)
    new = adapt_model(method, tiny_backbone("bert"), tiny_tasks("bert", 1), 1, CPU)
    with pytest.raises(Unsupported, match="and does not store it: nothing can start from"):
        start_from(delta, "a", new, "per_task")


def test_a_delta_of_another_method_is_no_start(tmp_path):
    delta = tmp_path / "delta.safetensors"
    trained("lora", "bert", delta, 1)
    _, other = method_of("bitfit")
    new = adapt_model(other, tiny_backbone("bert"), tiny_tasks("bert", 1), 1, CPU)
    with pytest.raises(ValueError, match="which is not here"):
        start_from(delta, "a", new, "per_task")


FROM_COLOURS = """\
schema: 1
name: few
description: Tasks that are much like others.
modality: image
tasks: [reds, blues]
backbones: {mini: [resnet_mini]}
start: {track: colours, tasks: {reds: blues, blues: reds}}
recipe:
  mini:
    default: {steps: 1, batch_size: 16, evaluations: 1, learning_rate: 1.0e-30}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_tasks(tmp_path)
    few = tmp_path / "tasks" / "few"
    few.mkdir()
    for path in (tmp_path / "tasks" / "colours").iterdir():
        (few / path.name).write_text(path.read_text())
    (few / "track.yaml").write_text(FROM_COLOURS)
    return tmp_path


@pytest.mark.nightly
def test_cells_start_from_those_of_another_track(folder, forked):
    asked = {"methods": "norm_tuning,hyperformer_norm", "registry": folder, "out": folder / "out"}
    asked |= {"options": {"hyperformer_norm.hidden": 16}}
    with pytest.raises(UserError) as absent:
        suite.run(tasks="few", jobs=1, quiet=True, **asked)
    train = (
        "train it, in the same folder: python -m suite run -m norm_tuning -t colours/blues "
        "-b resnet_mini --scale mini --seeds 0"
    )
    joint = "-m hyperformer_norm -t colours -b resnet_mini --scale mini --set"
    assert train in str(absent.value)
    assert f"{joint} hyperformer_norm.hidden=16 --seeds 0" in str(absent.value)

    suite.run(tasks="colours", jobs=1, quiet=True, **asked)
    results = suite.run(tasks="few", jobs=1, quiet=True, **asked)
    # A joint method, too, trains on one task at a time.
    assert [(r.status, len(r.cell.tasks)) for r in results] == 4 * [("ok", 1)]
    starts = {(r.cell.method, r.cell.tasks[0]): r.identity.start for r in results}
    # What is shared is one file, what is a task's own two.
    assert starts["hyperformer_norm", "reds"] == starts["hyperformer_norm", "blues"]
    assert starts["norm_tuning", "reds"] != starts["norm_tuning", "blues"]
    made = suite.plan(tasks="few", **asked)
    assert {item.action for item in made.planned} == {"cached"}


def test_another_start_is_another_cell(folder, forked):
    asked = {"methods": "norm_tuning", "registry": folder, "out": folder / "out"}
    suite.run(tasks="colours", jobs=1, quiet=True, **asked)
    suite.run(tasks="few", jobs=1, quiet=True, **asked)
    track = folder / "tasks" / "colours" / "track.yaml"
    track.write_text(track.read_text().replace("steps: 12", "steps: 13"))
    suite.run(tasks="colours", jobs=1, quiet=True, **asked)
    made = suite.plan(tasks="few", **asked)
    assert {item.reason for item in made.planned} == {"what training starts from changed"}


def test_few_examples_are_drawn_by_the_seed(folder, monkeypatch):
    seen = []

    def train(model, method, data, *rest):
        seen.append([own.train.examples for own in data.values()])
        raise Unsupported("seen")

    monkeypatch.setattr("suite.engine.cell.train", train)
    made = suite.plan("norm_tuning", "colours/reds", seeds="0-2", examples=8, registry=folder)
    assert made.planned[0].cell.key.name == "norm_tuning[examples=8]"
    workspace = Workspace(load(folder), CPU, 1)
    for item in (*made.planned, made.planned[0]):
        with pytest.raises(Unsupported, match="seen"):
            train_cell(item.cell, workspace, lambda *_: None)
    first, second, third, again = (examples.inputs["image"] for (examples,) in seen)
    assert len(first) == len(second) == len(third) == 8
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    # All of them, in their order, if there are no more.
    (item,) = suite.plan("norm_tuning", "colours/reds", examples=96, registry=folder).planned
    whole = workspace.tasks(item.cell)[0].train
    with pytest.raises(Unsupported, match="seen"):
        train_cell(item.cell, workspace, lambda *_: None)
    assert torch.equal(seen[-1][0].inputs["image"], whole.inputs["image"])
