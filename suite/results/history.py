"""What is known of cells that ran before, read without their predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from suite.registry.schema import OptionValue, Recipe
from suite.results.records import CellKey, Identity, Status, read_record, require_own_name


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


def read_history(folder: Path) -> Mapping[CellKey, Past]:
    """The head of every result in `folder`; empty where there is none.

    Raises `UserError` for a file that is not a result, because a run would overwrite it.
    """
    history = {}
    for path in sorted(folder.glob("*.json")):
        past = read_record(path, Past)
        require_own_name(path, past.cell)
        history[past.cell] = past
    return history
