"""What an argument may be, whether typed on a command line or passed in Python."""

import math
import re
from collections.abc import Iterable
from pathlib import Path

from suite.errors import UserError

LARGEST = 10**18
"""No number of anything is above it."""
LARGEST_FACTOR = 1000
_DIGITS = len(str(LARGEST))
"""Python refuses to read thousands of them."""


def texts(value: object, where: str = "") -> tuple[str, ...]:
    """One text or several. Raises `UserError`, its message after `where`."""
    several = (value,) if isinstance(value, str) else value
    found = tuple(several) if isinstance(several, Iterable) else (several,)
    if not all(isinstance(text, str) for text in found):
        raise UserError(f"{where}must be a text or a list of texts, not {value!r:.80}")
    return found


def folder(value: object, where: str = "") -> Path:
    """The path of a folder or file. Raises `UserError`, its message after `where`."""
    if not isinstance(value, str | Path):
        raise UserError(f"{where}must be a path, as text or pathlib.Path, not {value!r:.80}")
    return Path(value)


def truth(value: object, where: str = "") -> bool:
    """True or False. Raises `UserError`, its message after `where`."""
    if not isinstance(value, bool):
        raise UserError(f"{where}must be True or False, not {value!r:.80}")
    return value


def positive(value: object, where: str = "", most: int = LARGEST) -> int:
    """A whole number from 1 to `most`, itself or as text. Raises `UserError`, its message after
    `where`."""
    try:
        text = str(value)
    except ValueError:  # an int of thousands of digits
        text = "a number of thousands of digits"
    if not text.isdecimal() or len(text) > _DIGITS or not 1 <= int(text) <= most:
        above = "" if most == LARGEST else f" to {most:,}"
        raise UserError(f"{where}must be a whole number from 1{above}, not '{text:.80}'")
    return int(text)


def seconds(value: object, where: str = "") -> float:
    """A finite number of seconds above 0. Raises `UserError`, its message after `where`."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"{where}must be a number of seconds above 0, not '{value}'")
    return number


def factor(value: object, where: str = "") -> float:
    """What a number is multiplied by: above 0, at most 1,000. Raises `UserError`, its message after
    `where`."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number <= LARGEST_FACTOR:
        raise UserError(
            f"{where}must be a number above 0, at most {LARGEST_FACTOR:,}, such as 0.25, not "
            f"'{value!s:.80}'"
        )
    return number


def device(value: object, where: str = "") -> str:
    """The name of a device. Raises `UserError`, its message after `where`; whether this machine
    has such a device is found out when cells run."""
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", str(value)):
        raise UserError(f"{where}must be auto, cpu, cuda or cuda:N, not '{value}'")
    return str(value)


def devices(value: object, where: str = "") -> str:
    """The names of devices, as `device`: one, or several GPUs with commas between them."""
    names = str(value).split(",")
    if len(names) == 1:
        return device(value, where)
    if not all(re.fullmatch(r"cuda:[0-9]+", name) for name in names):
        raise UserError(f"{where}several must be cuda:N,cuda:M,..., not '{value}'")
    if len({*names}) < len(names):
        raise UserError(f"{where}names one device twice: '{value}'")
    return str(value)


def jobs(value: object, where: str = "") -> int | None:
    """How many cells may run at a time; None for `auto`. Raises `UserError` as `positive`."""
    if value in (None, "auto"):
        return None
    if not str(value).isdecimal():
        raise UserError(f"{where}must be a whole number from 1 or auto, not '{value!s:.80}'")
    return positive(value, where)
