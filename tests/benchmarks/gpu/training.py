"""Whole training steps: every way to train one network, interleaved."""

from collections.abc import Callable, Iterator

import torch
import trainers
from measure import Failed, Row, captured, interleaved, launches, row
from problems import NETWORKS
from trainers import Trainer

SECTION = "step"

PLAIN: dict[str, type[Trainer]] = {
    "head only": trainers.HeadOnly,
    "full, autocast": trainers.Trainer,
    "full, bf16 copy": trainers.WithCopy,
    "TAPS eager": trainers.EagerTaps,
    "TAPS flat PyTorch": trainers.FlatTaps,
    "TAPS flat compiled": trainers.CompiledFlatTaps,
    "TAPS": trainers.ArenaTaps,
    "TAPS locked 62 %": trainers.Locked62,
    "TAPS locked 30 %": trainers.Locked30,
    "TAPS locked 10 %": trainers.Locked10,
    "LoRA r=8": trainers.Lora,
}

COMPILED = ("full, autocast", "full, bf16 copy", "TAPS eager", "TAPS")
"""Also with a compiled network, where asked for."""

PROFILED = ("full, autocast", "full, bf16 copy", "TAPS eager", "TAPS flat compiled", "TAPS")
"""Their kernels are counted."""


def measure(
    network: str, batch: int, device: torch.device, compile_networks: bool, rounds: int
) -> Iterator[Row | Failed]:
    """Milliseconds of a step, with and without a CUDA graph, its kernels and its memory."""
    case = f"{network} {batch}"
    steps: dict[str, Callable[[], object]] = {}
    pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
    for name, compiled in [
        *((name, False) for name in PLAIN),
        *((name, True) for name in COMPILED if compile_networks),
    ]:
        variant = f"{name}, compiled" if compiled else name
        try:
            yield from _prepare(
                case, variant, PLAIN[name], network, batch, device, compiled, steps, pool
            )
        except Exception as error:
            # One variant that fails, for want of memory or of a package, must not cost the rest.
            steps.pop(variant, None)
            yield Failed(SECTION, case, variant, f"{type(error).__name__}: {error}"[:300])
    for variant, times in interleaved(steps, rounds, warmup=2).items():
        yield row(SECTION, case, variant, "time", times, "ms")


def _prepare(
    case: str,
    variant: str,
    form: type[Trainer],
    network: str,
    batch: int,
    device: torch.device,
    compiled: bool,
    steps: dict[str, Callable[[], object]],
    pool: object,
) -> Iterator[Row | Failed]:
    """Put the variant's step, and its replay where there is a GPU, into `steps`."""
    torch.manual_seed(0)
    trainer = form(lambda: NETWORKS[network](batch, device), compiled)
    for _ in range(3):
        trainer.step()
    state = sum(tensor.numel() * tensor.element_size() for tensor in trainer.state())
    yield row(SECTION, case, variant, "training state", [state / 2**20], "MiB")
    steps[variant] = trainer.step
    if device.type != "cuda":
        return
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trainer.step()
    peak = torch.cuda.max_memory_allocated() - before
    yield row(SECTION, case, variant, "added peak memory", [peak / 2**20], "MiB")
    if variant in PROFILED:
        count, busy = launches(trainer.step)
        yield row(SECTION, case, variant, "kernels", [count], "")
        yield row(SECTION, case, variant, "device busy", [busy], "ms")
    try:
        # A second trainer: a captured one leaves its gradients in the graph's memory.
        graphed = form(lambda: NETWORKS[network](batch, device), compiled)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                graphed.step()
        torch.cuda.current_stream().wait_stream(stream)
        steps[f"{variant}, graph"] = capture(graphed, pool)
    except Exception as error:
        yield Failed(SECTION, case, f"{variant}, graph", f"{type(error).__name__}: {error}"[:300])


def capture(trainer: Trainer, pool: object) -> Callable[[], object]:
    """The whole step as two CUDA graphs; the graphs of all variants share one `pool` of memory, as
    none needs what it left behind after its step."""
    forward_backward = captured(trainer.forward_backward, pool=pool)
    # Once outside of a graph: the arena then knows where the captured gradients are.
    trainer.update_captured()
    update = captured(trainer.update_captured, pool=pool)

    def replay() -> None:
        forward_backward()
        update()

    return replay
