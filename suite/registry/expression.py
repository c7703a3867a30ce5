"""Integer arithmetic in registry files: `2*w*(w//r) + w`, and nothing else."""

import ast
import operator
from collections.abc import Callable, Mapping

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}

Value = float | int | str | bool


def parse(text: str) -> ast.expr:
    """The expression's tree; raises ValueError with what is not allowed in it."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"'{text}' is no arithmetic expression: {error.msg}") from None
    _check(tree, text)
    return tree


def names(text: str) -> set[str]:
    """The names an expression uses, functions aside."""
    tree = parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return used - set(_FUNCTIONS)


def evaluate(text: str, values: Mapping[str, Value]) -> float:
    """The expression's value; raises ValueError naming an unknown name."""
    return _value(parse(text), values)


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.Constant(value=int() | float() | str()) | ast.Name():
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, text)
            _check(right, text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, text)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            _check(left, text)
            _check(right, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            for argument in args:
                _check(argument, text)
        case _:
            raise ValueError(
                f"'{ast.unparse(node)}' in '{text}' is not allowed: use numbers, names, "
                "+ - * // % **, comparisons, min() and max()"
            )


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            if name not in values:
                raise ValueError(f"unknown name '{name}'; known: {', '.join(sorted(values))}")
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, values)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARE[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(_value(argument, values) for argument in args))
    raise AssertionError(f"unchecked node {ast.dump(node)}")
