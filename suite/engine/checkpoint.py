"""Where a long training stands, in files from which another process goes on with the same result.

A phase is one file: `phase-N.safetensors` of one that is over, `running.safetensors` of that in
training. What a method does between phases is not in them: it is done again, from the same states.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from suite.console import say, shown
from suite.errors import UserError
from suite.planning.cells import Cell
from suite.results.files import replace_file

EVERY_SECONDS = 300.0
SETTING = "SUITE_CHECKPOINT"
"""The variable that says how many seconds lie between two checkpoints; 0 for none."""
FOLDER = "checkpoint"
FORMAT = "suite-checkpoint-1"
"""Key of a file's metadata that holds its header."""


@dataclass(frozen=True)
class Standing:
    """Where one phase stands after `step` steps: tensors by name, and numbers that are none."""

    step: int
    tensors: Mapping[str, Tensor]
    best_score: float
    best_validation: Mapping[str, float]
    measured: Mapping[str, float]


@dataclass
class Checkpoint:
    """The checkpoint of one cell, in its folder; what other cells have left there is removed.

    Nothing is written before `every` seconds have passed, then at most once in so many. `key` names
    what decides the training; `continued` hears after how many steps it goes on, if it does.
    """

    cell_folder: Path
    key: str
    continued: Callable[[int], None]
    every: float = field(default_factory=lambda: interval())
    clock: Callable[[], float] = time.monotonic
    earlier_seconds: float = 0.0
    """By the clock, of the processes before this one."""
    earlier_processor_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.folder = self.cell_folder / FOLDER
        self._began = self._written = self.clock()
        self._processor_began = time.process_time()
        self._kept: dict[str, bytes] = {}
        files = sorted(self.folder.glob("*.safetensors"))
        try:
            usable = all(self._header(file)["key"] == self.key for file in files)
        except (SafetensorError, OSError, KeyError, ValueError):
            usable = False
        if not usable:
            say(f"{shown(self.folder)}: of another training or damaged; begins anew")
            remove(self.cell_folder)
        elif files:
            headers = [self._header(file) for file in files]
            self.earlier_seconds = max(header["seconds"] for header in headers)
            self.earlier_processor_seconds = max(header["processor"] for header in headers)
            # The phase in training may have ended since it was written: then it has two files.
            steps: dict[int, int] = {}
            for header in headers:
                steps[header["phase"]] = max(header["step"], steps.get(header["phase"], 0))
            self.continued(sum(steps.values()))

    def read(self, phase: int) -> Standing | None:
        """Where a phase stood when it was written last; None if it has to begin."""
        for name in (f"phase-{phase}", "running"):
            path = self.folder / f"{name}.safetensors"
            if path.is_file() and (header := self._header(path))["phase"] == phase:
                with safe_open(path, framework="pt") as file:
                    tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Standing(
                    header["step"],
                    tensors,
                    -math.inf if header["best_score"] is None else header["best_score"],
                    header["best_validation"],
                    header["measured"],
                )
        return None

    @property
    def due(self) -> bool:
        """Whether a phase in training should be written now."""
        return bool(self.every) and self.clock() - self._written >= self.every

    def write(self, phase: int, standing: Standing) -> None:
        """Write where a phase stands, in training, together with those before it."""
        self._flush()
        replace_file(self.folder / "running.safetensors", self._content(phase, standing))
        self._written = self.clock()

    def end(self, phase: int, standing: Standing) -> None:
        """Note where a phase has ended: on disk, unless the training is still a short one."""
        if not self.every:
            return
        self._kept[f"phase-{phase}.safetensors"] = self._content(phase, standing)
        if self.folder.is_dir() or self.due:
            self._flush()

    def _flush(self) -> None:
        for name, content in self._kept.items():
            replace_file(self.folder / name, content)
        self._kept.clear()

    def _content(self, phase: int, standing: Standing) -> bytes:
        score = standing.best_score
        header = {
            "key": self.key,
            "phase": phase,
            "step": standing.step,
            "best_score": score if math.isfinite(score) else None,
            "best_validation": dict(standing.best_validation),
            "measured": dict(standing.measured),
            "seconds": self.earlier_seconds + self.clock() - self._began,
            "processor": self.earlier_processor_seconds
            + time.process_time()
            - self._processor_began,
        }
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in standing.tensors.items()
        }
        return save(tensors, {FORMAT: json.dumps(header)})

    @staticmethod
    def _header(path: Path) -> dict:  # type: ignore[type-arg]
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[FORMAT])
        assert isinstance(header, dict)
        return header


def training_key(cell: Cell, device: str) -> str:
    """What decides a cell's training, on a kind of device: its identity."""
    return f"{cell.identity.digest} on {device}"


def remove(cell_folder: Path) -> None:
    """Remove the checkpoint of a cell, if it has one."""
    shutil.rmtree(cell_folder / FOLDER, ignore_errors=True)


def interval() -> float:
    """Seconds between two checkpoints; raises `UserError` if the variable holds no number."""
    text = os.environ.get(SETTING, "")
    try:
        seconds = float(text) if text else EVERY_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise UserError(f"{SETTING}={text}: must be a number of seconds, or 0 for no checkpoints")
    return seconds
