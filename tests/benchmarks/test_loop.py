"""What the training loop adds to a step: its time over that of a loop written by hand.

    python -m pytest tests/benchmarks -n 0 -m benchmark -s

Both run the same model on the same batches in one process and on one thread, in turns. What is
compared is the processor time of single steps, and of all steps of a loop the tenth percentile:
other programs on the machine, and its clock, make the same step take up to twice as long, and never
less. The ratio is printed and must be at most 1.05.
"""

import time

import numpy as np
import pytest
import torch

from suite.contract.fixture import family_bench
from suite.data.batching import Batches
from suite.data.encode import encode_task
from suite.engine.loop import train
from suite.engine.training_data import TaskBatches
from suite.engine.workspace import Workspace, adapt_model
from suite.method.load import load_method
from suite.registry import load
from suite.registry.options import default_options
from suite.registry.schema import Recipe, Scale

pytestmark = pytest.mark.benchmark

STEPS = 40
TURNS = 6
FIRST = 5
"""Steps of a turn that do not count: libraries and memory are prepared in them."""
RECIPE = Recipe(steps=STEPS, evaluations=1, schedule="constant", warmup=0.0)


def by_hand(model, batches):
    """The least one can write: forward, backward, clip, step. The time of every step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RECIPE.learning_rate, weight_decay=0, fused=True)
    model.train()
    stream = batches.training(RECIPE, 0)
    times = [time.process_time()]
    for _ in range(STEPS):
        loss = model.loss(next(stream))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, RECIPE.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time())
    return np.diff(times)


@pytest.mark.parametrize("family", ["resnet", "densenet", "vit", "bert", "t5"])
def test_the_loop_costs_no_more_than_one_written_by_hand(family, benchmark):
    torch.set_num_threads(1)
    registry = load()
    entry, (task, _) = family_bench(registry, family)
    backbone = Workspace(registry, torch.device("cpu"), 1).backbone(entry.name)
    method_entry = registry.methods["full_finetuning"]
    options = default_options(method_entry, Scale.MINI)
    method = load_method(method_entry, options)
    encoded = encode_task(task, Scale.MINI, backbone, 128, task.sources.mini.digest)
    batches = Batches(task.name, encoded.train, entry)
    # One validation example: selection is not what is measured here.
    validation = Batches(task.name, encoded.validation.take(torch.arange(1)), entry)
    data = {task.name: TaskBatches(batches, validation)}

    def fresh():
        return adapt_model(method, backbone, [task], 0, torch.device("cpu"))

    def ours(model):
        times = [time.process_time()]
        train(model, method, data, RECIPE, 0, lambda *_: times.append(time.process_time()))
        return np.diff(times)

    times = {"hand": [], "loop": []}
    for turn in range(TURNS):
        # Alternate who goes first: caches and clocks favour neither.
        order = [("hand", lambda m: by_hand(m, batches)), ("loop", ours)]
        for name, loop in order if turn % 2 else order[::-1]:
            times[name].extend(loop(fresh())[FIRST:])
    loop, hand = (float(np.quantile(times[name], 0.1)) for name in ("loop", "hand"))
    print(f"\n{family}: loop / by hand = {loop / hand:.3f} ({1000 * loop:.2f} ms a step)")
    benchmark.extra_info["ratio"] = loop / hand
    benchmark.pedantic(ours, setup=lambda: ((fresh(),), {}), rounds=1)
    assert loop <= 1.05 * hand
