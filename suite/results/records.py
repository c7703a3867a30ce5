"""The result of one cell: one JSON file per cell, written atomically, never edited."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from suite.registry.schema import STORE, OptionValue, Recipe, Scale, Store
from suite.results.files import replace_file

Status = Literal["ok", "failed", "oom", "timeout", "diverged", "unsupported"]


def failed(status: Status) -> bool:
    """Whether another attempt may end otherwise: there is no score, though the pair is defined."""
    return status not in ("ok", "unsupported")


class Record(BaseModel):
    """Base of everything in a result file: immutable; unknown keys and numbers that are not finite
    are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


OF_METHOD = ("layers", "method")
"""The parts of the code that are a method's own."""


class CellKey(Record):
    """Names a cell: what is trained on what. A joint cell lists all its tasks."""

    method: str
    backbone: str
    scale: Scale
    track: str
    tasks: tuple[str, ...]
    seed: int
    setting: str = ""
    """`OPTION=VALUE,...` of what differs from the method's defaults, and of a budget that differs
    from the recipe's; empty for the method as it is."""
    store: Store = Store.FLOAT32
    """In which precision what is learned is stored."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Files name a setting and a precision only where they are not the usual ones."""
        content: dict[str, Any] = write(self)
        if not self.setting:
            del content["setting"]
        if self.store is Store.FLOAT32:
            del content["store"]
        return content

    def stored_as(self, store: Store) -> "CellKey":
        """The cell with the same training that is stored in this precision."""
        return self.model_copy(update={"store": store})

    @property
    def name(self) -> str:
        """The method with its setting and precision: `lora[rank=4,store=int8]`."""
        precision = "" if self.store is Store.FLOAT32 else f"{STORE}={self.store}"
        setting = ",".join(part for part in (self.setting, precision) if part)
        return f"{self.method}[{setting}]" if setting else self.method

    @property
    def label(self) -> str:
        """Short, unique and safe as a file name."""
        tasks = "+".join(self.tasks)
        if len(tasks) > 80:
            tasks = f"{len(self.tasks)}tasks-{hashlib.sha256(tasks.encode()).hexdigest()[:8]}"
        return f"{self.name}.{self.track}-{tasks}.{self.backbone}.s{self.seed}"

    @property
    def file_name(self) -> str:
        """Name of the cell's result file."""
        return f"{self.scale}.{self.label}.json"


class Identity(Record):
    """What a result depends on, as one digest per component (see `suite.planning.identity`)."""

    schema_version: int
    method: str
    code: str = ""
    """Of all code that decides the cell; empty in results of before version 2."""
    parts: dict[str, str] = {}
    """Digests of its parts, used to name a change of `code`; they decide nothing."""
    recipe: str
    tasks: dict[str, str]
    """Task -> `EXAMPLES.METRICS`; before version 2 the first alone."""
    backbone: str
    seed: int
    start: str = ""
    """The digest of the cell whose delta training started from; empty without one."""
    digest: str

    @property
    def examples(self) -> dict[str, str]:
        """Task -> digest of its examples, and of what is asked of them."""
        return {task: digest.partition(".")[0] for task, digest in self.tasks.items()}

    @property
    def engine(self) -> dict[str, str]:
        """What must be equal where scores are compared: the parts of the code that all methods
        share, and the formulas of each task's metrics. Empty before version 2."""
        if not self.parts:
            return {}
        own = {part: digest for part, digest in self.parts.items() if part not in OF_METHOD}
        formulas = {task: digest.partition(".")[2] for task, digest in self.tasks.items()}
        return own | {f"metrics of {task}": digest for task, digest in formulas.items()}


Number = Annotated[int, Field(ge=-(2**53), le=2**53)] | float
Answer = Number | tuple[Number, ...]
"""Of an example: a class index, a number, 0 or 1 for each label, or log-odds."""


class TaskScore(Record):
    """Scores of one task on its test split, computed from the reloaded delta.

    Metrics are percentages (correlations and MCC times 100); `score` is their mean.
    `predictions` and `targets` are class indices, -1 being an answer that could not be parsed,
    numbers for regression, or 0 and 1 for each label. Where a metric orders examples, predictions
    are log-odds, of which every metric is computed (`suite.registry.metrics`).
    """

    task: str
    metrics: dict[str, float]
    score: float
    validation_score: float
    predictions: tuple[Answer, ...] = Field(repr=False)
    targets: tuple[Answer, ...] = Field(repr=False)
    data: str = ""
    """A note if the data are not the official ones (a subset, re-split rows)."""

    @model_validator(mode="after")
    def _has_an_answer_to_every_example(self) -> "TaskScore":
        if len(self.predictions) != len(self.targets) or not self.targets:
            raise ValueError(f"{len(self.predictions)} predictions of {len(self.targets)} targets")
        for what in (self.predictions, self.targets):
            # By type first: most answers are plain numbers, and there are thousands of them.
            if tuple in (kinds := set(map(type, what))):
                lengths = {len(row) for row in what if isinstance(row, tuple)}
                if len(kinds) > 1 or len(lengths) > 1:
                    raise ValueError("predictions or targets have rows of several lengths")
        return self


class Ledger(Record):
    """The counted cost of a delta in stored bits, read from the file's own header."""

    shared_bits: int
    task_bits: dict[str, int]
    head_bits: dict[str, int]
    buffer_bits: int
    tensor_bytes: int
    file_bytes: int
    closed_form: bool = True
    """Whether the counts were checked against one; a class that is only tried out may have none."""

    @staticmethod
    def parameters(bits: float) -> float:
        """Parameter equivalents: 32 stored bits are one parameter."""
        return bits / 32


class Environment(Record):
    """Where and with what a cell ran. Recorded, never part of its identity."""

    device: str
    hardware: str
    threads: int
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    finished: str
    """UTC, ISO 8601."""
    execution: tuple[str, ...] = ()
    """How the device was used where it can be used in more ways than one."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Files say how the device was used only where there was a choice."""
        content: dict[str, Any] = write(self)
        if not self.execution:
            del content["execution"]
        return content


class Carried(Record):
    """Why a result of other code counts as one of the present code: some cells of its method and
    family of backbones were run under both, on one machine, and answered the same."""

    commit: str
    """The recorded one."""
    dirty: bool
    """Whether it was not all of the recorded code: then the commit alone was run."""
    cells: tuple[str, ...]
    """What was compared."""
    steps: int
    """Optimizer steps per task with which it was."""
    predictions: int
    """How many were compared, bit for bit."""
    hardware: str
    date: str
    """UTC, ISO 8601."""


class Verified(Record):
    """Who loaded the delta of a submitted result into a fresh backbone and scored it again."""

    by: str
    date: str
    """UTC, ISO 8601."""
    commit: str | None
    """Of the code that did; None outside a checkout."""
    dirty: bool | None
    hardware: str
    answers: int
    """How many answers were compared."""
    otherwise: int
    """How many of them were not the submitted ones."""
    difference: float
    """Largest difference of a task's score, in points."""


class Result(Record):
    """One cell's outcome. Everything after `reason` is empty unless `status` is `ok`."""

    schema_version: Literal[1] = 1
    cell: CellKey
    identity: Identity
    status: Status
    reason: str = ""
    log: str = ""
    scores: tuple[TaskScore, ...] = ()
    delta: str = ""
    """SHA-256 of the file that was scored; empty in results of before it was recorded."""
    ledger: Ledger | None = None
    backbone_parameters: int = 0
    trained_parameters: int = 0
    facts: dict[str, float] = {}
    recipe: Recipe | None = None
    options: dict[str, OptionValue] = {}
    steps: int = 0
    train_seconds: float = 0.0
    processor_seconds: float | None = None
    """Processor time of the training, of all threads. It can be compared between methods where the
    time by the clock, `train_seconds`, cannot: other programs lengthen it little. With a GPU it is
    the host's part alone. None in results of before it was recorded."""
    total_seconds: float = 0.0
    peak_memory_bytes: int = 0
    environment: Environment | None = None
    carried: Carried | None = None
    verified: Verified | None = None

    @property
    def failed(self) -> bool:
        """Whether another attempt may end otherwise."""
        return failed(self.status)

    def write(self, folder: Path) -> Path:
        """Write to `folder` so that a reader sees the old file or the whole new one."""
        text = json.dumps(self.model_dump(mode="json"), separators=(",", ":")) + "\n"
        return replace_file(folder / self.cell.file_name, text)
