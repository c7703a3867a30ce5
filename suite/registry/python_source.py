"""What a Python file defines, read from its syntax tree: nothing is imported or run."""

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

_TOO_DEEP = "nested too deeply to be read"


@dataclass(frozen=True)
class MethodClass:
    """A public class that derives from `Method`, and its annotated fields."""

    name: str
    fields: tuple[str, ...]


def functions(path: Path) -> tuple[str, ...]:
    """Names of the functions at the top level of a file. Raises `SyntaxError`."""
    return tuple(
        node.name for node in parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)
    )


def method_classes(path: Path) -> tuple[MethodClass, ...]:
    """The public classes that derive from `Method`, directly or through a class of the same file.

    Raises `SyntaxError`.
    """
    classes = {
        node.name: node for node in parse(path.read_bytes()).body if isinstance(node, ast.ClassDef)
    }

    known: dict[str, tuple[str, ...] | None] = {}

    def fields(node: ast.ClassDef) -> tuple[str, ...] | None:
        """Fields with those of the parents; None if the class does not derive from `Method`."""
        if node.name in known:
            return known[node.name]
        known[node.name] = None  # what a class finds that is its own parent
        inherited: list[str] = []
        derives = False
        for base in node.bases:
            name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            if name == "Method":
                derives = True
            elif name in classes:
                above = fields(classes[name])
                derives |= above is not None
                inherited += above or ()
        if derives:
            known[node.name] = tuple(dict.fromkeys([*inherited, *_own_fields(node)]))
        return known[node.name]

    try:
        found = {name: fields(node) for name, node in classes.items() if not name.startswith("_")}
    except RecursionError:
        raise SyntaxError(_TOO_DEEP, ("", 1, 1, None)) from None
    return tuple(MethodClass(name, own) for name, own in found.items() if own is not None)


@functools.cache
def parse(source: bytes) -> ast.Module:
    """The syntax tree of a file's content, made once: all tasks of a track may name one generator.

    Raises `SyntaxError`.
    """
    try:
        return ast.parse(source)
    except ValueError as error:
        # Python 3.11 has an error of its own for a null byte.
        raise SyntaxError(str(error), ("", 1, 1, None)) from None
    except (RecursionError, MemoryError):
        raise SyntaxError(_TOO_DEEP, ("", 1, 1, None)) from None


def _own_fields(node: ast.ClassDef) -> list[str]:
    return [
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and not item.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(item.annotation)
    ]
