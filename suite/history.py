"""What is known of cells that ran before, read without their predictions."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from suite.errors import UserError
from suite.registry.problems import shown
from suite.registry.schema import OptionValue, Recipe
from suite.results import CellKey, Identity, Status


class Past(BaseModel):
    """The head of a result: enough to decide whether its cell must run again, and to say why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cell: CellKey
    identity: Identity
    status: Status
    reason: str = ""
    log: str = ""
    recipe: Recipe | None = None
    options: dict[str, OptionValue] = {}


def read_history(folder: Path) -> Mapping[CellKey, Past]:
    """The head of every result in `folder`; empty where there is none.

    Raises `UserError` for a file that is no result, because running over it would lose it.
    """
    history = {}
    for path in sorted(folder.glob("*.json")):
        try:
            past = Past.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{shown(path)}: not a result of this version ({place} {first['msg'].lower()}); "
                "move it away or delete it, and its cell will run again"
            ) from None
        history[past.cell] = past
    return history
