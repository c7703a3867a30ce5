"""Names that users type: how they are compared, corrected and kept inside their folder."""

import difflib
import re
from collections.abc import Iterable

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


def normal(name: str) -> str:
    """The form in which names are compared: lower case, `-` and `_` alike."""
    return name.lower().replace("-", "_")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'adapters'?`, or nothing where no choice is near."""
    by_normal = {normal(choice): choice for choice in choices}
    near = difflib.get_close_matches(normal(word), by_normal, n=1, cutoff=0.6)
    return f"; did you mean '{by_normal[near[0]]}'?" if near else ""


def stays_inside(path: str) -> bool:
    """Whether a relative path of plain parts cannot leave the folder it is joined to."""
    return all(_PART.fullmatch(part) for part in path.split("/"))
