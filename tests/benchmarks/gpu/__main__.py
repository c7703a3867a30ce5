"""What the kernels reach on this GPU, against their targets.

    python tests/benchmarks/gpu

measures the device's two ceilings, the kernels, and whole training steps of every baseline, all in
one process, prints a table and writes a CSV. It needs torch, triton and timm, for the text models
transformers, for LoRA peft; what cannot be measured is listed with its reason.
"""

import argparse
import gc
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

CASES = (
    ("vit_small", 32),
    ("resnet50", 32),
    ("bert_base", 32),
    ("vit_small", 128),
    ("resnet50", 128),
    ("densenet121", 32),
    ("bert_base", 128),
    ("t5_base", 32),
    ("densenet121", 128),
    ("vit_small", 256),
    ("resnet50", 256),
)
"""In the order of measurement, the most telling first."""

COMPILED = (("vit_small", 32),)
"""Where the network is compiled, too: each takes a minute."""


def main() -> int:
    """Measure, print and write; 2 without a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="start no case later (9)")
    parser.add_argument("--out", type=Path, default=Path("kernels.csv"), help="the CSV")
    parser.add_argument("--rounds", type=int, default=20, help="timed steps of a variant (20)")
    parser.add_argument("--compile", action="store_true", help="compile every network, too")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("This benchmark measures a CUDA device, and there is none here.", file=sys.stderr)
        return 2
    from measure import Failed, write_csv
    from targets import verdicts

    header, rows = _header(torch), []
    print(", ".join(f"{name} {value}" for name, value in header.items()))
    try:
        for one in _all(options, torch.device("cuda")):
            rows.append(one)
            print(_line(one), flush=True)
            write_csv(options.out, rows, header)
    except KeyboardInterrupt:
        print("interrupted: the table below is of what was measured", file=sys.stderr)
    except RuntimeError as error:
        # A kernel that faults takes the device with it: nothing more can be measured.
        rows.append(Failed("device", "", "", f"{type(error).__name__}: {error}"[:300]))
        print(_line(rows[-1]))
        write_csv(options.out, rows, header)
    print("\nTargets (docs/kernels.md)")
    for verdict in verdicts(rows):
        print(verdict)
    failed = [one for one in rows if isinstance(one, Failed)]
    print(f"\n{len(rows) - len(failed)} rows in {options.out}, {len(failed)} not measured")
    return 0


def _all(options: argparse.Namespace, device: object) -> Iterator[object]:
    import micro
    import torch
    import training
    from measure import Failed

    # One function is compiled for every network: beyond a limit it would silently not be.
    torch._dynamo.config.recompile_limit = 1000
    torch._dynamo.config.accumulated_recompile_limit = 10_000
    started = time.perf_counter()
    for section in (
        micro.ceilings,
        micro.arena,
        micro.adapters,
        micro.hypernetwork,
    ):
        try:
            yield from section()
        except Exception as error:
            yield Failed(section.__name__, "", "", f"{type(error).__name__}: {error}"[:300])
    for network, batch in CASES:
        if time.perf_counter() - started > 60 * options.minutes:
            yield Failed("step", f"{network} {batch}", "", "out of time, see --minutes")
            continue
        compiled = options.compile or (network, batch) in COMPILED
        yield from training.measure(network, batch, device, compiled, options.rounds)
        gc.collect()
        torch.cuda.empty_cache()


def _header(torch: object) -> dict[str, object]:
    import triton

    properties = torch.cuda.get_device_properties(0)
    driver = getattr(torch._C, "_cuda_getDriverVersion", lambda: "unknown")()
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": round(properties.total_memory / 2**30),
        "cuda_driver": driver,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


def _line(one: object) -> str:
    from measure import Failed

    name = f"{one.section:12} {one.case:34} {one.variant:30}"
    if isinstance(one, Failed):
        return f"{name} not measured: {one.reason}"
    spread = f"({one.low:.4g} to {one.high:.4g})" if one.low != one.high else ""
    return f"{name} {one.metric:18} {one.median:>10.4g} {one.unit:8} {spread}"


if __name__ == "__main__":
    sys.exit(main())
