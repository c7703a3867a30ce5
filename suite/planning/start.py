"""Cells that start from the delta of another: what that must be, and what to do without it."""

from suite.planning.cells import Planned
from suite.planning.locate import Missing


def refusal_of(source: Planned | None) -> str:
    """Why a cell that starts from this one is not defined; empty if it may be."""
    return source.reason if source and source.action == "unsupported" else ""


def untrained(source: Planned) -> Missing:
    """What is missing where the delta of this cell is not kept."""
    key = source.cell.key
    tasks = key.track if len(key.tasks) > 1 else f"{key.track}/{key.tasks[0]}"
    words = [f"-m {key.method} -t {tasks} -b {key.backbone} --scale {key.scale}"]
    words += [f"--set {key.method}.{part}" for part in key.setting.split(",") if part]
    if source.action == "cached":
        words.append("--force")  # its result is there, and the delta alone is gone
    return Missing(
        f"delta of {key.label}, from which training starts,",
        (),
        f"train it, in the same folder: python -m suite run {' '.join(words)} --seeds {key.seed}",
    )
