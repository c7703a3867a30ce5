"""What is known of a cell that ran before, read without its predictions."""

from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat

from suite.registry.schema import OptionValue, Recipe
from suite.results.records import CellKey, Identity, Ledger, Status, failed


class Finish(BaseModel):
    """When a cell finished."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    finished: str
    """UTC, ISO 8601."""


class Past(BaseModel):
    """The head of a result: enough to decide whether its cell must run again, and to say why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1]
    cell: CellKey
    identity: Identity
    status: Status
    reason: str = ""
    log: str = ""
    recipe: Recipe | None = None
    options: dict[str, OptionValue] = {}
    environment: Finish | None = None

    @property
    def failed(self) -> bool:
        """Whether another attempt may end otherwise."""
        return failed(self.status)


class Scored(BaseModel):
    """The score of one task."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    task: str
    score: FiniteFloat


class Listed(Past):
    """The head of a result with its scores and with what it stores."""

    scores: tuple[Scored, ...] = ()
    ledger: Ledger | None = None
    backbone_parameters: int = 0

    @property
    def score(self) -> float | None:
        """The mean over the tasks of the cell; None without a score."""
        return fmean(one.score for one in self.scores) if self.scores else None

    @property
    def stored_x(self) -> float | None:
        """The bits of the cell's delta, in backbones; None if nothing was stored."""
        ledger = self.ledger
        if ledger is None or not self.backbone_parameters:
            return None
        kinds = (ledger.shared_bits, ledger.buffer_bits)
        bits = sum(kinds) + sum(ledger.task_bits.values()) + sum(ledger.head_bits.values())
        return Ledger.parameters(bits) / self.backbone_parameters
