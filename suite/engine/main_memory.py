"""How many cells fit into main memory side by side."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from suite.engine.gpu_memory import measured_before
from suite.planning.cells import Plan
from suite.planning.locate import Model, locate_model
from suite.registry import Registry

PROCESS_BYTES = 1536 * 2**20
"""Memory of a process beside its network: Python, PyTorch, the examples of a task."""
NETWORKS = 10
"""How often a cell that was never measured is taken to hold its network: the pristine one, the
trained one with gradients and two moments, the restored one, the best state and activations."""
MEASURED = 1.1
"""Room for what a process takes beyond the measured peak of an earlier cell."""
GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""Files of the limit and of what is used, and the line of what can be given back: of the second and
of the first version of control groups."""


def fitting(plan: Plan, registry: Registry, out: Path) -> int:
    """How many of the plan's largest cells fit side by side; one at least."""
    free = free_bytes()
    return 1 if free is None else max(1, free // needed(plan, registry, out))


def needed(plan: Plan, registry: Registry, out: Path) -> int:
    """The bytes that the largest cell of the plan takes.

    A cell is as large as the largest measured one on its backbone, or is guessed from the weights.
    """
    peaks: dict[str, int] = {}
    for result in measured_before(plan, out):
        if result.environment and result.environment.device == "cpu":
            backbone = result.cell.backbone
            peaks[backbone] = max(peaks.get(backbone, 0), result.peak_memory_bytes)
    return max(
        int(peaks[backbone] * MEASURED) if backbone in peaks else _guess(registry, backbone)
        for backbone in {item.cell.key.backbone for item in plan.with_action("run")}
    )


def free_bytes(system: Path = Path("/")) -> int | None:
    """What a program may take without pushing others out, within the limit of its container; None
    where the system does not tell."""
    return min(_limits(system), default=None)


def kills_for_memory(system: Path = Path("/")) -> int | None:
    """How many processes the kernel has killed because memory ran out, in a container or outside,
    since it started; None where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        lines = (system / "proc/vmstat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return None


def _limits(system: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for line in (system / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    for limit, used, back in GROUPS:
        group = system / "sys/fs/cgroup"
        with contextlib.suppress(OSError, ValueError):  # without a limit, the file says "max"
            most = int((group / limit).read_text())
            lines = ((group / used).parent / "memory.stat").read_text().splitlines()
            idle = [int(line.split()[1]) for line in lines if line.startswith(f"{back} ")]
            yield most - int((group / used).read_text()) + sum(idle)


def _guess(registry: Registry, backbone: str) -> int:
    found = locate_model(registry.backbones[backbone])
    if not isinstance(found, Model):
        return PROCESS_BYTES
    weights = sum(path.stat().st_size for path in found.folder.glob("*.safetensors"))
    return PROCESS_BYTES + NETWORKS * weights
