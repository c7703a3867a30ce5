"""Checks of a method's answers: what they may depend on."""

import copy

import numpy as np
import torch
from torch import Tensor

from suite.backbones.base import TextToTextBackbone
from suite.contract.fixture import BATCH, SEED, Bench, Fault
from suite.data.batching import Batch
from suite.engine.delta import make_rounding, rounded, stored_tensors
from suite.engine.ledger import parameters
from suite.method.model import AdaptedModel, HeadedModel
from suite.registry.schema import Store

EXTRA_TOKENS = 8
"""Number of padding tokens added to a batch of texts."""
NOISE = 0.3
"""Standard deviation of the noise that makes the tasks of a joint method differ after few steps."""


def outputs(model: AdaptedModel, batch: Batch) -> Tensor:
    """Logits or numbers of a batch in evaluation mode."""
    model.eval()
    model.context.activate(batch.task)
    with torch.no_grad():
        if isinstance(model.backbone, TextToTextBackbone):
            return model(batch.inputs, batch.target_ids)
        return model(batch.inputs)


def answers_are_repeatable(bench: Bench, model: AdaptedModel) -> None:
    """The same example gets the same answer, in whatever batch."""
    batch = bench.batch(bench.served[0])
    given = {name: values.clone() for name, values in batch.inputs.items()}
    whole = outputs(model, batch)
    for name, values in given.items():
        if not torch.equal(values, batch.inputs[name]):
            raise Fault(f"the model changes its input in place: {name}")
    if not torch.equal(whole, outputs(model, batch)):
        raise Fault(
            "in evaluation mode the model answers the same batch in two ways: "
            "is dropout or other randomness left on?"
        )
    half = BATCH // 2
    if not _close(whole[:half], outputs(model, batch.first(half))):
        raise Fault("an answer depends on the other examples of its batch")


def padding_does_not_matter(bench: Bench, model: AdaptedModel) -> None:
    """Texts that are padded to a greater length get the same answers."""
    if bench.backbone.entry.modality != "text":
        return
    for task in bench.served:
        own = bench.data[task.name].train
        rows = np.argsort(own.examples.lengths, kind="stable")[:BATCH]
        longest = int(own.examples.lengths[rows].max())
        short, padded = (own.rows(rows, length) for length in (longest, longest + EXTRA_TOKENS))
        if not _close(outputs(model, short), outputs(model, padded)):
            raise Fault("an answer depends on the padding: mixing of tokens must respect the mask")


def predicts_without_answers(bench: Bench, model: AdaptedModel) -> None:
    """`predict` gives one finite answer for each example, which depends on that example only."""
    for task in bench.served:
        batch = bench.batch(task)
        before = _state(model.eval())
        predicted = model.predict(batch)
        if len(predicted) != BATCH or not torch.isfinite(predicted.float()).all():
            raise Fault(
                f"predict() does not give one finite answer for each example of {task.name}"
            )
        if not torch.equal(predicted, model.predict(batch.unanswered())):
            raise Fault("predict() answers differently if the batch does not hold the answers")
        half = BATCH // 2
        if not _close(predicted[:half], model.predict(batch.first(half))):
            raise Fault("a prediction depends on the other examples of its batch")
        for name, tensor in _state(model).items():
            if not torch.equal(tensor, before[name]):
                raise Fault(f"predict() changes {name}")


def restores_from_its_file(bench: Bench, model: AdaptedModel) -> None:
    """Loaded from its file into a fresh backbone, the model answers as before."""
    restored = bench.restore(bench.save(model, "restore"), bench.served)
    for task in bench.served:
        batch = bench.batch(task)
        if not torch.equal(outputs(model, batch), outputs(restored, batch)):
            saved, loaded = (stored_tensors(each, bench.method) for each in (model, restored))
            for name in saved.keys() & loaded.keys():
                if not torch.equal(saved[name], loaded[name]):
                    raise Fault(f"load() puts back {name} with other values than were stored")
            raise Fault(
                f"loaded from its file into a fresh backbone, the model answers {task.name} "
                "differently: something that matters is not stored"
            )


def restores_what_is_rounded(bench: Bench, model: AdaptedModel) -> None:
    """Stored in int4 or as signs, the model answers from its file as it does with what it stores
    rounded, and costs as many parameters."""
    batches = [bench.batch(task) for task in bench.served]
    before = [outputs(model, batch) for batch in batches]
    exact = parameters(bench.save(model, "exact"))
    for store in (Store.INT4, Store.BINARY):
        fresh = (bench.adapt(bench.served, seed) for seed in (SEED, SEED + 1))
        rounding = make_rounding(store, *fresh)
        path = bench.save(model, "rounded", rounding)
        if parameters(path) != exact:
            raise Fault(f"stored in {store}, the file holds another number of parameters")
        restored = bench.restore(path, bench.served)
        with rounded(model, bench.method, bench.entry.regime, rounding):
            for batch in batches:
                if not torch.equal(outputs(model, batch), outputs(restored, batch)):
                    raise Fault(
                        f"stored in {store}, the model answers {batch.task} differently from its "
                        "file: something that matters is not stored, or load() needs a fresh model"
                    )
    for batch, expected in zip(batches, before, strict=True):
        if not torch.equal(outputs(model, batch), expected):
            raise Fault("load() does not put back what it replaced a moment before")


def order_of_tasks_does_not_matter(bench: Bench, model: AdaptedModel) -> None:
    """A joint model answers a task in the same way whichever task is asked first."""
    if bench.entry.regime != "joint":
        return
    path = bench.save(model, "order")
    first, second = (bench.batch(task) for task in bench.tasks)
    asked_first = outputs(bench.restore(path, bench.served), second)
    restored = bench.restore(path, bench.served)
    outputs(restored, first)
    if not torch.equal(asked_first, outputs(restored, second)):
        raise Fault(f"answers to {second.task} depend on whether {first.task} was asked before")


def mixed_batches_give_the_same(bench: Bench, model: AdaptedModel) -> None:
    """Rows of two tasks have the same loss in one batch as in a batch per task."""
    if bench.entry.regime != "joint" or not isinstance(model, HeadedModel):
        return
    apart = bench.restore(bench.save(model, "mixed"), bench.served)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in apart.named_parameters():
        if ".by_task." in name:
            parameter.data.add_(NOISE * torch.randn(parameter.shape, generator=generator))
    batches = [bench.batch(task) for task in bench.tasks]
    if bench.backbone.entry.modality == "text":
        longest = max(batch.inputs["input_ids"].shape[1] for batch in batches)
        rows = np.arange(BATCH)
        batches = [bench.data[task.name].train.rows(rows, longest) for task in bench.tasks]
    with torch.no_grad():
        alone = torch.stack([apart.loss(batch) for batch in batches]).mean()
        mixed = apart.mixed_loss(tuple(batches))
    if not _close(alone, mixed):
        raise Fault(
            f"in a batch of both tasks the loss is {float(mixed):.5g}, in separate ones "
            f"{float(alone):.5g}: code that reads the active task must respect context.counts"
        )


def survives_a_deep_copy(bench: Bench, model: AdaptedModel) -> None:
    """A copy of the model answers as the model does, and shares nothing with it."""
    batch = bench.batch(bench.served[0])
    before, clone = outputs(model, batch), copy.deepcopy(model)
    if not torch.equal(before, outputs(clone, batch)):
        raise Fault("a deep copy of the model answers differently")
    for parameter in clone.parameters():
        parameter.data.zero_()
    if not torch.equal(before, outputs(model, batch)):
        raise Fault("what changes in a deep copy of the model changes its answers")
    if torch.equal(before, outputs(clone, batch)):
        raise Fault("a deep copy of the model answers from parameters that are not its own")


def compiles(bench: Bench, model: AdaptedModel) -> None:
    """Compiled with `torch.compile`, the model on text answers as before; the slowest check."""
    if bench.backbone.entry.modality != "text":
        return
    batch = bench.batch(bench.served[0])
    expected = outputs(model, batch)
    torch._dynamo.reset()
    compiled = copy.deepcopy(model)
    compiled.compile(backend="eager", dynamic=False)
    try:
        actual = outputs(compiled, batch)
    except Exception as error:
        raise Fault(f"torch.compile fails: {' '.join(str(error).split())[:200]}") from None
    if not torch.allclose(expected, actual, rtol=1e-4, atol=1e-5):
        raise Fault("compiled with torch.compile, the model answers differently")


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-4)


def _state(model: AdaptedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
