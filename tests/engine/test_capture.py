"""Steps that are replayed end as steps that are computed anew: bit for bit."""

from dataclasses import dataclass, field

import pytest
import torch
from tape import TapeRecorder, Watch
from tiny import WIDTH, tiny_backbone, tiny_data, tiny_tasks
from torch.utils._python_dispatch import TorchDispatchMode

from suite.engine import arithmetic, environment, step
from suite.engine.capture import BEGINNING, KEEPS, MIXED, SETTING, WAITS
from suite.engine.checkpoint import Checkpoint
from suite.engine.loop import train
from suite.engine.scoring import validate
from suite.engine.workspace import adapt_model
from suite.errors import UserError
from suite.method import Method, ParameterSet, Phase, adapted, context_of
from suite.method.load import load_method
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale
from suite.results.records import Environment

CPU = torch.device("cpu")
STEPS = 8
REGISTRY = load()


@pytest.fixture(autouse=True)
def as_on_a_gpu():
    """Padding is masked as it is there: without a look at the mask."""
    with arithmetic.padding_masked():
        yield


def trained(
    method, family, recorder, monkeypatch, count=2, progress=None, checkpoint=None, **recipe
):
    """A model after a short training, and what it did."""
    monkeypatch.setattr(step, "recorder", lambda device: recorder)
    tasks = tiny_tasks(family, count)
    model = adapt_model(method, tiny_backbone(family), tasks, 0, CPU)
    data = {task.name: tiny_data(family, task.name) for task in tasks}
    made = Recipe(steps=STEPS, batch_size=8, evaluations=2, learning_rate=1e-2).model_copy(
        update=recipe
    )
    done = train(model, method, data, made, 0, progress or (lambda *_: None), checkpoint)
    return model, done


def registered(name, **options):
    entry = REGISTRY.methods[name]
    return load_method(entry, default_options(entry, Scale.MINI) | options)


def same(model, other):
    """Every parameter and buffer has the bits of the other model's."""
    theirs = dict((*other.named_parameters(), *other.named_buffers()))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        assert torch.equal(tensor, theirs[name]), name


@dataclass(frozen=True)
class Peculiar(Method):
    """Trains norms, and does what a graph cannot hold, in one of several ways."""

    reads: bool = False
    keeps: bool = False
    follows: bool = False
    host: bool = False
    kept: list = field(default_factory=list, repr=False)

    def adapt(self, backbone, tasks):
        backbone.unfreeze(backbone.of_kind("norm"))
        return adapted(backbone, tasks, context_of(tasks))

    def phases(self, model):
        weight = next(p for p in model.parameters() if p.requires_grad)

        def penalty(batch):
            value = weight.square().sum()
            if self.keeps:
                self.kept[:] = [value.detach()]
            return 0.1 * value * (2.0 if self.reads and value > 0 else 1.0)

        return (Phase(tuple(model.tasks), penalty=penalty),)

    def stepper(self, model, parameters, recipe):
        return Nothing() if self.host else None


class Nothing:
    """A stepper of no parameters."""

    parameters = ParameterSet()
    on_device = False

    def prepare(self, factor, progress):
        self.progress = progress

    def step(self, other_norm):
        return None

    def settle(self):
        return False

    def close(self):
        pass


@dataclass(frozen=True)
class Moving(Peculiar):
    """Its stepper moves a tensor."""

    def stepper(self, model, parameters, recipe):
        class Mover(Nothing):
            on_device = True

            def settle(self):
                if self.progress != 0.5:
                    return False
                weight = next(p for p in model.parameters() if p.requires_grad)
                weight.data = weight.data.clone()
                return True

        return Mover()


CASES = [
    ("full_finetuning", "resnet", {"optimizer": "sgd", "momentum": 0.9}),
    ("lora", "vit", {"schedule": "cosine", "label_smoothing": 0.1}),
    ("adapters", "bert", {"clip_norm": None}),
    ("hyperformer", "bert", {"warmup": 0.5}),
    pytest.param("bitfit", "t5", {}, marks=pytest.mark.nightly),
    pytest.param("hyperformer_pp", "t5", {}, marks=pytest.mark.nightly),
    pytest.param("full_finetuning", "densenet", {}, marks=pytest.mark.nightly),
    pytest.param("mtlora", "vit", {}, marks=pytest.mark.nightly),
    pytest.param("parallel_adapters", "bert", {}, marks=pytest.mark.nightly),
    pytest.param("prompt_tuning", "t5", {}, marks=pytest.mark.nightly),
    pytest.param("prefix_tuning", "bert", {}, marks=pytest.mark.nightly),
    pytest.param("piggyback", "resnet", {}, marks=pytest.mark.nightly),
    pytest.param("linear_probe", "vit", {}, marks=pytest.mark.nightly),
]


NOT_ON_THE_CPU = {"taps"}
"""Methods of whose steps none is captured there: see docs/kernels.md."""


@pytest.mark.parametrize(("name", "family", "recipe"), CASES)
def test_replayed_steps_end_as_computed_ones(name, family, recipe, monkeypatch):
    method = registered(name)
    count = 1 if REGISTRY.methods[name].regime == "per_task" else 2
    expected, plain = trained(method, family, None, monkeypatch, count, **recipe)
    model, training = trained(method, family, TapeRecorder(), monkeypatch, count, **recipe)
    assert plain.execution == ()
    # Each task's batches have a shape of their own, with two steps before it is captured.
    assert training.execution == (
        f"{count * (STEPS - 2)} of {count * STEPS} steps in CUDA graphs",
        f"{2 * count} uncaptured: {BEGINNING}",
    )
    assert training.validation == plain.validation
    same(model, expected)


@pytest.mark.nightly
@pytest.mark.parametrize("name", REGISTRY.methods)
def test_every_method_ends_with_the_same_bits(name, monkeypatch):
    entry = REGISTRY.methods[name]
    family = next(f for f in ("bert", "vit", "resnet", "t5") if f not in entry.unsupported)
    count = 1 if entry.regime == "per_task" else 2
    expected, _ = trained(registered(name), family, None, monkeypatch, count)
    model, training = trained(registered(name), family, TapeRecorder(), monkeypatch, count)
    replayed = int(training.execution[0].split()[0])
    assert (replayed == 0) == (name in NOT_ON_THE_CPU), training.execution
    same(model, expected)


def test_a_training_goes_on_from_a_checkpoint_with_captured_steps(tmp_path, monkeypatch):
    method = registered("adapters")
    expected, _ = trained(method, "bert", None, monkeypatch, 1)

    def stop(step, steps):
        if step == 6:
            raise KeyboardInterrupt

    times = iter(range(1000))
    places = []

    def checkpoint():
        return Checkpoint(tmp_path, "key", places.append, every=4.0, clock=lambda: next(times))

    with pytest.raises(KeyboardInterrupt):
        trained(method, "bert", TapeRecorder(), monkeypatch, 1, stop, checkpoint())
    model, training = trained(
        method, "bert", TapeRecorder(), monkeypatch, 1, checkpoint=checkpoint()
    )
    assert 0 < places[0] < 6
    left = STEPS - places[0]
    assert training.execution[0] == f"{left - 2} of {left} steps in CUDA graphs"
    same(model, expected)


def test_tensors_that_move_are_captured_anew(monkeypatch):
    """A stepper that gives a parameter other memory half-way."""
    expected, _ = trained(Moving(), "bert", None, monkeypatch, 1)
    model, training = trained(Moving(), "bert", TapeRecorder(), monkeypatch, 1)
    assert training.execution == (
        f"{STEPS - 4} of {STEPS} steps in CUDA graphs",
        f"4 uncaptured: {BEGINNING}",
    )
    same(model, expected)


@pytest.mark.parametrize(
    ("change", "reason", "before"),
    [
        ({"reads": True}, WAITS, 2),
        ({"keeps": True}, KEEPS, 2),
        ({"follows": True}, "the method changes its loss as training goes on", 0),
        ({"host": True}, "the method's stepper reads the device", 0),
    ],
)
def test_what_cannot_be_captured_is_recorded_with_its_reason(change, reason, before, monkeypatch):
    method = Peculiar(**change)
    if change.get("follows"):
        monkeypatch.setattr(Peculiar, "penalty", lambda self, model, progress: None)
    expected, _ = trained(method, "vit", None, monkeypatch, 1)
    model, training = trained(method, "vit", TapeRecorder(), monkeypatch, 1)
    counts = {reason: STEPS - before} | ({BEGINNING: before} if before else {})
    lines = (f"{count} uncaptured: {why}" for why, count in sorted(counts.items()))
    assert training.execution == (f"0 of {STEPS} steps in CUDA graphs", *lines)
    same(model, expected)


def test_mixed_batches_are_not_captured(monkeypatch):
    method = registered("shared_finetuning")
    _, training = trained(method, "vit", TapeRecorder(), monkeypatch, mixed_batches=True)
    assert training.execution[1:] == (f"{2 * STEPS} uncaptured: {MIXED}",)


def test_graphs_can_be_turned_off(monkeypatch):
    monkeypatch.setenv(SETTING, "0")
    _, training = trained(Peculiar(), "vit", TapeRecorder(), monkeypatch, 1)
    assert training.execution[1:] == (f"{STEPS} uncaptured: {SETTING}=0",)
    monkeypatch.setenv(SETTING, "no")
    with pytest.raises(UserError, match=f"{SETTING}=no: must be 0, for no CUDA graphs, or 1"):
        trained(Peculiar(), "vit", TapeRecorder(), monkeypatch, 1)


MIXES = [
    ("shared_finetuning", "bert", {}),
    ("shared_finetuning", "vit", {"weighting": "chebyshev"}),
    ("hyperformer", "t5", {}),
]


@pytest.mark.parametrize(("name", "family", "options"), MIXES)
def test_no_step_of_mixed_batches_waits_for_the_device(name, family, options, monkeypatch):
    method = registered(name, **options)
    watch = Watch()
    compute = step.TrainingStep.compute

    def watched(self, batch):
        assert isinstance(batch, tuple)
        with watch:
            compute(self, batch)

    monkeypatch.setattr(step.TrainingStep, "compute", watched)
    trained(method, family, None, monkeypatch, 2, mixed_batches=True)
    assert watch.seen > 100
    assert watch.found == []


class Clones(TorchDispatchMode):
    """Counts copies of tensors of one shape."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.clone.default and args[0].shape == self.shape:
            self.count += 1
        return func(*args, **(kwargs or {}))


def test_the_best_state_has_one_copy_however_often_it_improves(monkeypatch):
    method = registered("bitfit")
    heads = torch.Size((3, WIDTH))
    with Clones(heads) as clones:
        model, training = trained(method, "vit", None, monkeypatch, 1, evaluations=STEPS)
    assert clones.count == 1
    # The states of all evaluations were candidates, and the kept one is in the model.
    data = {"a": tiny_data("vit", "a")}
    assert validate(model, data) == training.validation


def test_a_result_says_how_steps_were_taken_where_there_was_a_choice():
    plain, said = environment.describe("cpu", 1), environment.describe("cpu", 1, ("a", "b"))
    assert "execution" not in plain.model_dump(mode="json")
    assert Environment.model_validate(plain.model_dump(mode="json")) == plain
    assert Environment.model_validate(said.model_dump(mode="json")).execution == ("a", "b")
