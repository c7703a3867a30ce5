"""What numbers and devices may be, whether typed on a command line or passed in Python."""

import math
import re

from suite.errors import UserError


def positive(value: object, where: str = "") -> int:
    """A whole number from 1, itself or as text. Raises `UserError`, its message after `where`."""
    if not str(value).isdecimal() or int(str(value)) < 1:
        raise UserError(f"{where}must be a whole number from 1, not '{value}'")
    return int(str(value))


def seconds(value: object, where: str = "") -> float:
    """A finite number of seconds above 0. Raises `UserError`, its message after `where`."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"{where}must be a number of seconds above 0, not '{value}'")
    return number


def device(value: object, where: str = "") -> str:
    """The name of a device. Raises `UserError`, its message after `where`; whether this machine
    has such a device is found out when cells run."""
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", str(value)):
        raise UserError(f"{where}must be auto, cpu, cuda or cuda:N, not '{value}'")
    return str(value)
