"""Formulas in registry files: `2*w*(w//r) + w if part == "query" else 0`, and nothing else."""

import ast
import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

LONGEST = 500
"""Characters of a formula, white space between its words counted once."""
DEEPEST = 50
"""Levels of a formula: a sum of n terms has n of them."""
LARGEST_EXPONENT = 8

Value = float | int | str | bool

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}


@dataclass(frozen=True)
class Expression:
    """A formula that was found to hold arithmetic alone."""

    text: str
    names: frozenset[str]
    """The names it uses, functions aside."""
    _tree: ast.expr = field(repr=False, compare=False)

    def value(self, values: Mapping[str, Value]) -> float:
        """The value it has for these names.

        Raises ValueError for a name without a value, and where there is no number: division by
        zero, text in arithmetic.
        """
        try:
            return _number(_value(self._tree, values))
        except (ArithmeticError, TypeError) as error:
            raise ValueError(f"'{self.text}' has no value: {error}") from None


@functools.cache
def parse(text: str) -> Expression:
    """Read a formula; raises ValueError with what is not allowed in it.

    Its length, its depth and its exponents are limited, so that every formula is evaluated at once.
    """
    text = " ".join(text.split())
    if len(text) > LONGEST:
        raise ValueError(f"the formula has {len(text):,} characters, at most {LONGEST} are allowed")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"'{text}' is not a formula: {reason}") from None
    _check(tree, text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return Expression(text, frozenset(used - set(_FUNCTIONS)), tree)


def _check(tree: ast.expr, text: str) -> None:
    # Level by level and not by recursion: a formula of thousands of terms would exhaust the stack.
    level = [tree]
    for _ in range(DEEPEST):
        level = [part for node in level for part in _parts(node, text)]
    if level:
        raise ValueError(f"the formula is nested or added up more than {DEEPEST} levels deep")


def _parts(node: ast.expr, text: str) -> Iterator[ast.expr]:
    """What a part of a formula is made of; raises ValueError if the part is not allowed."""

    def refused(why: str) -> ValueError:
        return ValueError(f"'{ast.get_source_segment(text, node)}' is not allowed: {why}")

    match node:
        case ast.Constant(value=int() | float() | str()) | ast.Name():
            return
        # Exponents are small and powers are not raised again: 9**9**9 would not end.
        case ast.BinOp(left=base, op=ast.Pow(), right=ast.Constant(value=int(exponent))):
            if not 0 <= exponent <= LARGEST_EXPONENT or _has_power(base):
                raise refused(
                    f"an exponent is at most {LARGEST_EXPONENT}, and a power is not raised again"
                )
            yield base
        case ast.BinOp(op=ast.Pow()):
            raise refused("an exponent is a whole number")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            yield from (left, right)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield operand
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            yield from (test, body, otherwise)
        case ast.BoolOp(values=values):
            yield from values
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Tuple(elts=choices)]):
            yield from (left, *choices)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            yield from (left, right)
        case ast.Call(func=ast.Name(id=name), args=[_, _, *_] as arguments, keywords=[]) if (
            name in _FUNCTIONS
        ):
            yield from arguments
        case _:
            raise refused(
                "use numbers, names, + - * // % **, comparisons, 'x in (a, b)', and, or, "
                "'x if condition else y', min() and max()"
            )


def _has_power(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Pow) for part in ast.walk(node))


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.Name(id=name):
            if name not in values:
                raise ValueError(f"unknown name '{name}'; known: {', '.join(sorted(values))}")
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_number(_value(left, values)), _number(_value(right, values)))
        case ast.UnaryOp(operand=operand):
            return -_number(_value(operand, values))
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return _value(body if _value(test, values) else otherwise, values)
        case ast.BoolOp(op=ast.And(), values=conditions):
            return all(_value(condition, values) for condition in conditions)
        case ast.BoolOp(values=conditions):
            return any(_value(condition, values) for condition in conditions)
        case ast.Compare(left=left, comparators=[ast.Tuple(elts=choices)]):
            return _value(left, values) in [_value(choice, values) for choice in choices]
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARE[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name](*(_number(_value(part, values)) for part in arguments))
    raise AssertionError(f"unchecked node {ast.dump(node)}")


def _number(value: Value) -> float:
    if isinstance(value, str):
        raise TypeError(f"'{value}' is text, not a number")
    return value
