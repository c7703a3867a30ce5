"""The precisions in which what a cell learns may be stored."""

from enum import StrEnum


class Store(StrEnum):
    """A precision; `suite.engine.rounding` says what it means for which tensor.

    In files and on the command line it is its name.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    INT4 = "int4"
    BINARY = "binary"


STORE = "store"
"""What the precision is called in settings: no option of a method may have this name."""
