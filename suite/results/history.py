"""What is known of a cell that ran before, read without its predictions."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from suite.registry.schema import OptionValue, Recipe
from suite.results.records import CellKey, Identity, Status


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
