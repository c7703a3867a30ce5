"""Names that users type: how they are compared, corrected and kept inside their folder."""

import difflib
import re
from collections.abc import Iterable, Sequence

_SHOWN = 5
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


def normal(name: str) -> str:
    """The form in which names are compared: lower case, `-` and `_` alike."""
    return name.lower().replace("-", "_")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'adapters'?`, or nothing if no choice is near.

    Names that differ in numbers alone are other things and not the same one misspelt: for
    `resnet18` it is `; there is 'resnet34' and 'resnet50'`.
    """
    wanted, by_normal = normal(word), {normal(choice): choice for choice in choices}
    alike = sorted(
        choice for name, choice in by_normal.items() if _letters(name) == _letters(wanted)
    )
    if alike and wanted not in by_normal:
        return f"; there is {_listed(alike[:_SHOWN])}"
    near = difflib.get_close_matches(wanted, by_normal, n=1, cutoff=0.6)
    return f"; did you mean '{by_normal[near[0]]}'?" if near else ""


def _letters(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _listed(choices: Sequence[str]) -> str:
    *others, last = (f"'{choice}'" for choice in choices)
    return f"{', '.join(others)} and {last}" if others else last


def stays_inside(path: str) -> bool:
    """Whether a relative path of plain parts cannot leave the folder it is joined to."""
    return all(_PART.fullmatch(part) for part in path.split("/"))
