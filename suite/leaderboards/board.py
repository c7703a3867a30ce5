"""The content of a leaderboard before it is drawn: frozen rows of one (track, backbone, scale)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from suite.registry.schema import (
    BackboneEntry,
    MethodEntry,
    OptionValue,
    PublishedRow,
    Scale,
    Store,
    TrackEntry,
)
from suite.results.agreement import Agreement
from suite.results.ranks import Rank
from suite.results.records import Carried, Result, Verified
from suite.results.statistics import Estimate, RunNoise


@dataclass(frozen=True)
class RunScore:
    """The score of one run on one task, in per cent, and the metrics of which it is the mean."""

    score: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Machine:
    """On what some of a board's results were measured."""

    hardware: str
    versions: tuple[tuple[str, str], ...]
    """Package and version."""


@dataclass(frozen=True)
class TaskColumn:
    """One method on one task: its score, or why there is none."""

    scores: tuple[RunScore, ...] = ()
    """One per seed of the row, or none at all."""
    estimate: Estimate | None = None
    missing: str = ""

    @property
    def metrics(self) -> dict[str, float]:
        """The task's metrics, averaged over seeds."""
        names = self.scores[0].metrics if self.scores else ()
        return {m: sum(s.metrics[m] for s in self.scores) / len(self.scores) for m in names}


@dataclass(frozen=True)
class Cost:
    """What a method costs on all tasks of a track, averaged over seeds.

    All but the last three are fractions of the backbone's parameters without a head; the
    definitions are printed under every leaderboard.
    """

    stored_x: float
    shared: float
    """The part of `stored_x` that does not grow with the number of tasks."""
    total_x: float
    per_task: float
    head: float
    buffers: float
    trained: float
    tensor_bytes: float
    file_bytes: float
    steps: float


def needs_no_backbone(entry: MethodEntry, store: Store) -> bool:
    """Whether what a method stores serves its track without the frozen backbone: in less precision
    than float32 it is the change of that."""
    return entry.replaces_backbone and store is Store.FLOAT32


@dataclass(frozen=True)
class Objection:
    """Why a row must not be ranked with most others."""

    words: str
    of_budget: bool = False
    """Whether it is that another budget was asked for than that of most rows."""


@dataclass(frozen=True)
class Row:
    """One method on one leaderboard. It is ranked if it has no objections."""

    method: str
    entry: MethodEntry | None
    joint: bool
    together: bool
    """Whether the errors of its tasks may have a common cause: they were trained at once, or from
    what one training had learned."""
    label: str
    setting: str
    """`OPTION=VALUE,...`; empty for the method as it is."""
    options: Mapping[str, OptionValue]
    """Every option, as it was recorded."""
    store: Store
    training: tuple[str, ...]
    """The same for rows that differ in nothing but `store`: their runs are the same."""
    seeds: tuple[int, ...]
    tasks: Mapping[str, TaskColumn]
    objections: tuple[Objection, ...]
    estimate: Estimate | None
    cost: Cost | None
    hardware: tuple[str, ...]
    learning_rates: tuple[float, ...] = ()
    """Those of its cells with a score, each once, ascending."""
    facts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What the method reports of itself -> task -> mean over seeds; an empty name in the place of
    the task is for all tasks together."""
    uncommitted: bool = False
    """Whether code ran that no commit holds."""
    verified: tuple[Verified, ...] = ()
    """Of each of its cells, if all were submitted and scored again; empty otherwise."""
    rank: Rank | None = None
    """None if the row is not ranked, or if it is unknown how its runs vary."""

    @property
    def needs_no_backbone(self) -> bool:
        """Whether what is stored serves the track without the frozen backbone."""
        return self.entry is not None and needs_no_backbone(self.entry, self.store)

    @property
    def why_unranked(self) -> str:
        """All objections in one line; empty for a row that is ranked."""
        return "; ".join(each.words for each in self.objections)

    @property
    def perhaps_best(self) -> bool:
        """Whether the best score of the board is not significantly higher than this one, and not
        only because this one's runs differ so much."""
        return self.rank is not None and self.rank.best and not self.rank.unsure

    @property
    def mark(self) -> str:
        """How the row stands to the best: `=`, `?` where its runs differ too much to tell, or
        nothing."""
        return "=" if self.perhaps_best else "?" if self.rank and self.rank.unsure else ""

    @property
    def solved(self) -> int:
        """How many tasks have a score for every seed."""
        return sum(bool(column.scores) for column in self.tasks.values())

    @property
    def score(self) -> float:
        """The track's score, averaged over seeds; for complete rows."""
        if self.estimate is None:
            raise ValueError(f"{self.label} has no score")
        return self.estimate.score

    @property
    def all_metrics(self) -> float:
        """The mean over all metrics of all tasks, each counted once; for complete rows."""
        values = [v for column in self.tasks.values() for v in column.metrics.values()]
        return sum(values) / len(values)


@dataclass(frozen=True)
class PaperOrder:
    """How the order of methods agrees with that of one published table on the same family."""

    source: str
    backbone: str
    """The one that the table is of."""
    methods: tuple[str, ...]
    """Those that both have, best first as published."""
    agreement: Agreement


@dataclass(frozen=True)
class Board:
    """Everything that is known about one (track, backbone, scale)."""

    track: TrackEntry
    backbone: str
    backbone_entry: BackboneEntry | None
    scale: Scale
    ranked: tuple[Row, ...]
    unranked: tuple[Row, ...]
    unsupported: Mapping[str, str]
    """Method -> why it is not defined on this backbone."""
    failures: tuple[Result, ...]
    published: tuple[PublishedRow, ...]
    orders: tuple[PaperOrder, ...]
    data_notes: Mapping[str, str]
    """Task -> how its data differ from the official ones."""
    metrics: Mapping[str, tuple[str, ...]]
    """Task -> the names of its metrics."""
    constants: Mapping[str, float]
    """Task -> the best score that one answer to every test example reaches."""
    constant_score: float | None
    """The track's score of these answers; None if a task has no test examples here."""
    noise: Mapping[bool, RunNoise]
    """The run noise, of per-task rows (False) and of joint ones (True)."""
    data: Mapping[str, str]
    """Task -> digest of the data that most rows were measured on."""
    outdated: tuple[str, ...]
    """Embedded tasks whose examples, or what is asked of them, have changed since most rows."""
    steps: int
    """Optimizer steps per task of most rows."""
    backbone_parameters: int
    machines: tuple[Machine, ...]
    carried: tuple[Carried, ...] = ()
    """Of every result that stands for other code than that which it was measured with."""

    @property
    def name(self) -> str:
        """The stem of its files."""
        return f"{self.track.name}-{self.backbone}-{self.scale}"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Ranked rows, then the others."""
        return self.ranked + self.unranked

    @property
    def several_metrics(self) -> bool:
        """Whether the mean over metrics differs from the mean over tasks."""
        return any(len(names) > 1 for names in self.metrics.values())
