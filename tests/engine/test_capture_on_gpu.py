"""Training steps on a GPU, with CUDA graphs and without: `pytest -m gpu`."""

import gc
from functools import cache

import pytest
import torch
from tiny import tiny_backbone, tiny_data, tiny_tasks

from suite.data.batching import Batches
from suite.engine.capture import BEGINNING, SETTING
from suite.engine.frozen import frozen_in_bfloat16
from suite.engine.gpu_process import free, settle_on
from suite.engine.loop import train
from suite.engine.training_data import TaskBatches
from suite.engine.workspace import adapt_model
from suite.method.load import load_method
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda")


@pytest.fixture(scope="module", autouse=True)
def as_workers_do():
    """The settings of a process that runs cells; trainings end before others begin."""
    settle_on("cuda:0")
    yield
    gc.enable()
    torch.backends.cudnn.benchmark = False


@pytest.fixture(autouse=True)
def alone():
    free()


STEPS = 12
CASES = [
    ("full_finetuning", "resnet"),
    ("full_finetuning", "densenet"),
    ("lora", "vit"),
    ("adapters", "bert"),
    ("bitfit", "t5"),
    ("prompt_tuning", "t5"),
    ("piggyback", "resnet"),
    ("taps", "vit"),
    ("taps", "bert"),
    ("hyperformer", "bert"),
    ("hyperformer_pp", "t5"),
    ("shared_finetuning", "vit"),
    ("taps_joint", "resnet"),
    ("ties", "vit"),
]


@cache
def registry():
    return load()


def data_of(family, task, host=False):
    examples = tiny_data(family, task).train.examples
    batches = Batches(
        task, examples if host else examples.to(CUDA), tiny_backbone(family).entry, CUDA
    )
    assert batches.resident != host
    return TaskBatches(batches, batches)


def made(name, family, options=()):
    entry = registry().methods[name]
    method = load_method(entry, default_options(entry, Scale.MINI) | dict(options))
    tasks = tiny_tasks(family, 1 if entry.regime == "per_task" else 2)
    return method, adapt_model(method, tiny_backbone(family).to(CUDA), tasks, 0, CUDA)


def trained(
    name, family, monkeypatch, graphs, progress=lambda *_: None, host=False, options=(), **recipe
):
    """A model after a short training, and what it did."""
    monkeypatch.setenv(SETTING, str(int(graphs)))
    method, model = made(name, family, options)
    data = {task: data_of(family, task, host) for task in model.tasks}
    settings = {"steps": STEPS, "batch_size": 8, "evaluations": 1, "learning_rate": 1e-2}
    return model, train(model, method, data, Recipe(**settings | recipe), 0, progress)


def differences(model, other):
    """By how much parameters and buffers of one model differ from those of another."""
    theirs = dict((*other.named_parameters(), *other.named_buffers()))
    own = dict((*model.named_parameters(), *model.named_buffers()))
    return {
        name: float((tensor.double() - theirs[name].double()).abs().max())
        for name, tensor in own.items()
        if not torch.equal(tensor, theirs[name])
    }


@pytest.mark.parametrize(("name", "family"), CASES)
def test_replayed_steps_end_as_launched_ones(name, family, monkeypatch):
    expected, plain = trained(name, family, monkeypatch, graphs=False)
    again, _ = trained(name, family, monkeypatch, graphs=False)
    model, training = trained(name, family, monkeypatch, graphs=True)
    assert SETTING in plain.execution[1]
    assert int(training.execution[0].split()[0]) >= STEPS // 2, training.execution
    assert training.execution[1].endswith(BEGINNING)
    # Some kernels of PyTorch add up in another order from run to run, with graphs or without.
    largest = max(differences(again, expected).values(), default=0.0)
    assert max(differences(model, expected).values(), default=0.0) <= 4 * largest


@pytest.mark.parametrize(
    ("name", "family"), [("shared_finetuning", "bert"), ("hyperformer", "t5"), ("mtlora", "vit")]
)
def test_no_step_of_mixed_batches_waits_for_the_device(name, family, monkeypatch):
    def watch(step, steps):
        # From the third step on; the evaluation that follows the last one reads the device.
        torch.cuda.set_sync_debug_mode("error" if 2 <= step < steps else "default")

    try:
        trained(name, family, monkeypatch, True, watch, mixed_batches=True, batch_size=16)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_captured_steps_do_not_wait_for_the_device(monkeypatch):
    def watch(step, steps):
        torch.cuda.set_sync_debug_mode("error" if 4 <= step < steps else "default")

    try:
        trained("adapters", "bert", monkeypatch, True, watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_examples_on_the_host_train_as_those_on_the_device(monkeypatch):
    expected, _ = trained("lora", "vit", monkeypatch, graphs=True)
    model, _ = trained("lora", "vit", monkeypatch, graphs=True, host=True)
    assert differences(model, expected) == {}


@pytest.mark.parametrize(("name", "family"), [("lora", "vit"), ("adapters", "bert")])
def test_frozen_weights_in_bfloat16_train_as_autocast_does(name, family, monkeypatch):
    expected, _ = trained(name, family, monkeypatch, graphs=True)
    method, model = made(name, family)
    data = {task: data_of(family, task) for task in model.tasks}
    recipe = Recipe(steps=STEPS, batch_size=8, evaluations=1, learning_rate=1e-2)
    pristine = tiny_backbone(family).to(CUDA)
    with frozen_in_bfloat16(model, method, pristine, data, CUDA) as notes:
        assert notes[0].endswith("frozen weights in bfloat16")
        train(model, method, data, recipe, 0, lambda *_: None)
    assert differences(model, expected) == {}


def test_a_fine_tuned_network_keeps_one_copy_of_its_best_state(monkeypatch):
    """Memory at the second evaluation is that at the first, not a copy more."""
    peaks = []

    def note(step, steps):
        peaks.append(torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()

    trained("full_finetuning", "vit", monkeypatch, False, note, evaluations=STEPS, steps=STEPS)
    assert max(peaks[4:]) <= 1.02 * peaks[3]


def test_graphs_are_forgotten_where_gates_lock(monkeypatch):
    _, training = trained("taps", "vit", monkeypatch, graphs=True, options={"lock_after": 0.5})
    assert training.execution == (
        f"{STEPS - 4} of {STEPS} steps in CUDA graphs",
        f"4 uncaptured: {BEGINNING}",
    )
