"""Small cells whose losses and answers are on record, so that no edit changes results unseen.

`python tests/golden.py --record` measures them all and writes `golden.json` anew. `golden_tasks.py`
makes their examples; no other file of this test imports the package.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook

if __name__ == "__main__":
    # This checkout's package, whatever is installed.
    sys.path.insert(0, str(Path(__file__).parents[1]))

from golden_tasks import IMAGES, TEXTS, write_tasks

from suite.engine.cell import run_cell
from suite.engine.workspace import Workspace
from suite.method.model import AdaptedModel
from suite.planning.plan import Request, plan
from suite.registry import load

RECORD = Path(__file__).with_name("golden.json")
RECORDING = "python tests/golden.py --record"
SEED = 0
TOLERANCE = 1e-3
"""How far numbers may be from the record, relative to the largest of those that stand together.
Instruction sets, libraries and numbers of threads move them by at most a tenth of this."""
ROUNDING = 1e-6
"""Relative noise on a backbone's weights, ten times what rounding does to a number: a cell that it
moves by more than `TOLERANCE` is not recorded."""
SAMPLES = 6
"""Outputs of each task that are recorded, evenly spaced over those of a batch."""
BRIEF = {"steps": 8, "batch_size": 4, "evaluations": 2, "temperature": 2.0}
"""Steps enough for a warm-up, a decay and an evaluation on the way, and so few that rounding stays
rounding. AdamW moves what has no gradient, as a bias before a batch norm, by the sign of its
rounding: there the cells take SGD, or small steps."""


@dataclass(frozen=True)
class Golden:
    """A cell; its recipe is stated whole, so that a rate found by a search is not part of it."""

    method: str
    backbone: str
    tasks: tuple[str, ...]
    recipe: Mapping[str, object]
    options: tuple[str, ...] = ()
    """`OPTION=VALUE`."""

    @property
    def name(self) -> str:
        """Says which cell it is."""
        return f"{self.method} on {self.backbone}"


COLOUR, AMOUNT = IMAGES
MOOD, OVERLAP = TEXTS
CELLS = (
    Golden("linear_probe", "bert_mini", (MOOD,), {"learning_rate": 0.02, "schedule": "constant"}),
    Golden(
        "norm_tuning",
        "resnet_mini",
        (COLOUR,),
        {
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "batch_size": 8,
            "augmentation": "crop_flip",
        },
    ),
    Golden("bitfit", "t5_mini", (MOOD,), {"learning_rate": 2e-3, "weight_decay": 0.1}),
    Golden("adapters", "densenet_mini", (AMOUNT,), {"learning_rate": 0.02, "optimizer": "sgd"}),
    Golden("parallel_adapters", "bert_mini", (OVERLAP,), {"learning_rate": 3e-3}),
    Golden(
        "taps",
        "resnet_mini",
        (COLOUR,),
        {
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "batch_size": 8,
        },
        ("gate_warmup=0.3", "gate_penalty=0.4", "score_learning_rate=3"),
    ),
    Golden(
        "piggyback",
        "densenet_mini",
        (COLOUR,),
        {"optimizer": "sgd", "learning_rate": 0.01, "clip_norm": None},
    ),
    Golden(
        "lora",
        "bert_mini",
        (MOOD,),
        {"learning_rate": 3e-3, "label_smoothing": 0.1, "clip_norm": 0.5},
    ),
    Golden("ia3", "t5_mini", (OVERLAP,), {"learning_rate": 5e-3}),
    Golden("hyperformer", "vit_mini", IMAGES, {"learning_rate": 1e-3, "mixed_batches": True}),
    Golden("hyperformer_pp", "t5_mini", TEXTS, {"learning_rate": 2e-4}),
    Golden(
        "taps_joint",
        "vit_mini",
        IMAGES,
        {"learning_rate": 1e-3, "head_learning_rate": 0.01},
        ("gate_warmup=0.3", "score_learning_rate=0.05"),
    ),
    Golden("kd_mtl", "bert_mini", TEXTS, {"learning_rate": 1e-3, "head_learning_rate": 0.01}),
    Golden("lines", "resnet_mini", IMAGES, {"learning_rate": 3e-4, "batch_size": 8}),
)


@contextmanager
def workspace() -> Iterator[Workspace]:
    """What the cells share, with a cache of its own: nothing encoded before is reused."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, XDG_CACHE_HOME=folder),
    ):
        write_tasks(Path(folder))
        registry = load(Path(folder))
        registry.require_valid()
        yield Workspace(registry, torch.device("cpu"), threads=1)


def measure(golden: Golden, workspace: Workspace) -> dict[str, object]:
    """Run a cell, and what is to be recorded of it.

    `losses` of every step; of every task `outputs` of the restored model on the last batch that it
    answered (their root mean square, and some of them), `predictions` on test examples, metrics and
    the validation score; the ledger in bits, and how much was trained.
    """
    request = Request(
        methods=(golden.method,),
        tasks=golden.tasks,
        backbones=(golden.backbone,),
        seeds=(SEED,),
        options=tuple(f"{golden.method}.{option}" for option in golden.options),
    )
    (planned,) = plan(request, workspace.registry).planned
    recipe = type(planned.cell.recipe)(**BRIEF | golden.recipe)
    cell = dataclasses.replace(planned.cell, recipe=recipe)
    with tempfile.TemporaryDirectory() as folder, _watched() as (losses, outputs):
        result = run_cell(cell, workspace, Path(folder), lambda step, steps: None)
    ledger = result.ledger
    return {
        "options": dict(sorted(cell.options.items())),
        "weights": _digest(workspace.backbone(golden.backbone).network),
        "losses": losses,
        "outputs": {task: _summary(values) for task, values in outputs.items()},
        "predictions": {score.task: list(score.predictions) for score in result.scores},
        "metrics": {score.task: dict(score.metrics) for score in result.scores},
        "validation": {score.task: score.validation_score for score in result.scores},
        "bits": {
            "shared": ledger.shared_bits,
            "tasks": dict(ledger.task_bits),
            "heads": dict(ledger.head_bits),
            "buffers": ledger.buffer_bits,
        },
        "trained": result.trained_parameters,
    }


def differences(recorded: Mapping[str, object], measured: Mapping[str, object]) -> list[str]:
    """What of a cell is not as recorded, a line for each place; empty if all of it is."""
    before, now = dict(_leaves(recorded)), dict(_leaves(measured))
    lines = []
    for place in before | now:
        old, new = before.get(place, []), now.get(place, [])
        if len(old) != len(new):
            lines.append(f"{place}: {old} became {new}")
            continue
        allowed = _allowed(old)
        moved = [
            i for i, (a, b) in enumerate(zip(old, new, strict=True)) if not _same(a, b, allowed)
        ]
        if moved:
            first = moved[0]
            which = f"number {first + 1} of {len(old)} " if len(old) > 1 else ""
            line = f"{place}: {which}was {old[first]}, is {new[first]}"
            if allowed:
                worst = max(abs(old[i] - new[i]) for i in moved)
                line += f" ({len(moved)} moved, by up to {worst:.2g}; {allowed:.2g} is rounding)"
            lines.append(line)
    return lines


def read_record() -> dict[str, dict[str, object]]:
    """Cell name -> what is recorded of it."""
    return json.loads(RECORD.read_text())


def record() -> None:
    """Measure every cell and write the record; says what moved.

    Raises SystemExit for a cell that magnifies rounding, so that processors would disagree on it.
    """
    before = read_record() if RECORD.exists() else {}
    cells = {}
    with workspace() as pristine, workspace() as trembling:
        for golden in CELLS:
            measured = measure(golden, pristine)
            for line in differences(before.get(golden.name, {}), measured):
                print(f"{golden.name}: {line}")
            _tremble(trembling.backbone(golden.backbone).network)
            shaken = measure(golden, trembling) | {"weights": measured["weights"]}
            unsteady = differences(measured, shaken)
            if unsteady:
                raise SystemExit(f"{golden.name} magnifies rounding: {unsteady[0]}")
            cells[golden.name] = measured
    lines = (
        f"  {json.dumps(name)}: {{\n"
        + ",\n".join(f"    {json.dumps(key)}: {json.dumps(part)}" for key, part in cell.items())
        + "\n  }"
        for name, cell in cells.items()
    )
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


@contextmanager
def _watched() -> Iterator[tuple[list[float], dict[str, Tensor]]]:
    """The loss of every backward pass, and the last outputs of a model for every task, as they
    come: seen from outside, wherever the engine has its loop."""
    losses: list[float] = []
    outputs: dict[str, Tensor] = {}
    backward = Tensor.backward

    def noted(loss: Tensor, *arguments: object, **keywords: object) -> None:
        losses.append(_rounded(loss.detach()))
        backward(loss, *arguments, **keywords)

    def seen(module: torch.nn.Module, inputs: object, output: Tensor) -> None:
        if isinstance(module, AdaptedModel) and not torch.is_grad_enabled():
            outputs[module.context.active] = output.clone()

    hook = register_module_forward_hook(seen)
    try:
        with mock.patch.object(Tensor, "backward", noted):
            yield losses, outputs
    finally:
        hook.remove()


def _summary(values: Tensor) -> list[float]:
    """Root mean square, and `SAMPLES` of the values."""
    flat = values.flatten()
    picked = flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]
    return [_rounded(flat.square().mean().sqrt()), *map(_rounded, picked)]


def _rounded(value: Tensor) -> float:
    return float(f"{float(value):.6g}")


def _digest(network: torch.nn.Module) -> str:
    sha = hashlib.sha256()
    for tensor in network.state_dict().values():
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def _tremble(network: torch.nn.Module) -> None:
    """Change all weights as rounding would."""
    generator = torch.Generator().manual_seed(SEED)
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.mul_(1 + ROUNDING * noise)


def _allowed(values: Sequence[object]) -> float:
    """How far rounding may move numbers that stand together; 0 for what must be exact."""
    floats = [abs(value) for value in values if isinstance(value, float)]
    return TOLERANCE * max(floats, default=0.0)


def _same(before: object, now: object, allowed: float) -> bool:
    if isinstance(before, float) and isinstance(now, float):
        return abs(now - before) <= allowed
    return before == now


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, Sequence[object]]]:
    """Place -> what stands there, as a list: `outputs of mood`, [0.3, 0.1]."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place} of {key}" if place else key)
    else:
        yield place, value if isinstance(value, list) else [value]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The record of the golden cells.")
    parser.add_argument("--record", action="store_true", required=True, help="write it anew")
    parser.parse_args()
    torch.set_num_threads(1)
    record()
