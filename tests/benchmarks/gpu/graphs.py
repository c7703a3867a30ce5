"""What CUDA graphs of whole training steps gain, by method and family, on the embedded backbones.

    python tests/benchmarks/gpu/graphs.py --minutes 4

Every case trains twice with the suite's own loop, with graphs and without; the time of a step is
that from one third of the steps to the end, by the clock, after the device has finished. Needs no
data and no weights besides the suite's own.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))
sys.path.insert(0, str(HERE))

from measure import Failed, Row, write_csv  # noqa: E402

from suite.contract.fixture import family_bench  # noqa: E402
from suite.data.batching import Batches  # noqa: E402
from suite.data.encode import encode_task  # noqa: E402
from suite.engine import gpu_process  # noqa: E402
from suite.engine.capture import SETTING  # noqa: E402
from suite.engine.loop import train  # noqa: E402
from suite.engine.peak_memory import peak_bytes, reset_peak  # noqa: E402
from suite.engine.training_data import TaskBatches  # noqa: E402
from suite.engine.workspace import Workspace, adapt_model  # noqa: E402
from suite.method.load import load_method  # noqa: E402
from suite.registry import Registry, load  # noqa: E402
from suite.registry.options import default_options  # noqa: E402
from suite.registry.schema import Recipe, Scale  # noqa: E402

CASES = (
    ("hyperformer_pp", "t5"),
    ("lora", "t5"),
    ("adapters", "bert"),
    ("taps", "bert"),
    ("full_finetuning", "resnet"),
    ("lora", "vit"),
    ("taps", "vit"),
    ("shared_finetuning", "bert"),
    ("hyperformer", "bert"),
    ("bitfit", "densenet"),
    ("taps_joint", "resnet"),
    ("prompt_tuning", "t5"),
    ("linear_probe", "vit"),
)
"""In the order of measurement, the most telling first."""
STEPS = 240
EXAMPLES = 64
"""Validation examples of a task: selection is not what is measured."""


@dataclass(frozen=True)
class Run:
    """One training."""

    milliseconds: float
    """Of a step."""
    mebibytes: float
    """Peak of the device's memory."""
    execution: tuple[str, ...]


def measure(
    name: str, family: str, device: torch.device, registry: Registry, steps: int = STEPS
) -> Iterator[Row]:
    """Steps of a method on the mini backbone of a family, with graphs and without."""
    case, section = f"{family} {name}", "graph"
    runs = {}
    for variant, setting in (("launched", "0"), ("graph", "1")):
        os.environ[SETTING] = setting
        runs[variant] = _run(name, family, device, registry, steps)
    for variant, run in runs.items():
        note = "; ".join(run.execution)
        for metric, value, unit in (
            ("step", run.milliseconds, "ms"),
            ("peak memory", run.mebibytes, "MiB"),
        ):
            yield Row(section, case, variant, metric, value, value, value, unit, note)
    gain = runs["launched"].milliseconds / runs["graph"].milliseconds
    yield Row(section, case, "graph", "gain", gain, gain, gain, "")


def _run(name: str, family: str, device: torch.device, registry: Registry, steps: int) -> Run:
    entry = registry.methods[name]
    method = load_method(entry, default_options(entry, Scale.MINI))
    backbone_entry, tasks = family_bench(registry, family)
    tasks = tasks if entry.regime == "joint" else tasks[:1]
    workspace = Workspace(registry, device, 1)
    backbone = workspace.backbone(backbone_entry.name)
    data = {}
    for task in tasks:
        encoded = encode_task(task, Scale.MINI, backbone, 128, task.sources.mini.digest)
        few = encoded.validation.take(torch.arange(min(EXAMPLES, len(encoded.validation))))
        splits = (part.to(device) for part in (encoded.train, few))
        data[task.name] = TaskBatches(*(Batches(task.name, s, backbone_entry) for s in splits))
    model = adapt_model(method, backbone, tasks, 0, device)
    times = {}

    def note(step: int, total: int) -> None:
        if step in (total // 3, total):
            _finish(device)
            times[step] = time.perf_counter()

    if device.type == "cuda":
        gpu_process.free()
    reset_peak(device)
    recipe = Recipe(steps=-(-steps // len(tasks)), evaluations=1, batch_size=32)
    done = train(model, method, data, recipe, 0, note)
    (first, begun), *_, (last, ended) = sorted(times.items())
    step = 1000 * (ended - begun) / (last - first)
    return Run(step, peak_bytes(device) / 2**20, done.execution)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> int:
    """Measure, print and write; 2 without a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=4.0, help="start no case later (4)")
    parser.add_argument("--out", type=Path, default=Path("graphs.csv"), help="the CSV")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("This benchmark measures a CUDA device, and there is none here.", file=sys.stderr)
        return 2
    gpu_process.settle_on("cuda:0")
    started, rows, registry = time.perf_counter(), [], load()
    header = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    for name, family in CASES:
        if time.perf_counter() - started > 60 * options.minutes:
            rows.append(Failed("graph", f"{family} {name}", "", "out of time, see --minutes"))
            continue
        try:
            rows += measure(name, family, torch.device("cuda"), registry)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:300]
            rows.append(Failed("graph", f"{family} {name}", "", reason))
        print(*asdict(rows[-1]).values(), sep="  ", flush=True)
        write_csv(options.out, rows, header)
    return 0


if __name__ == "__main__":
    sys.exit(main())
