"""Reads YAML as plain data in which every key and value remembers its line and column.

The scalars are those of YAML 1.2: `no` is text and `1e-3` is a number. Tags, anchors, aliases and
duplicate keys are mistakes, so a document can neither run code nor hide half of what it says.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from suite.registry.files import Unreadable, content
from suite.registry.problems import Location, Problem, dotted

LARGEST_BYTES = 4 * 2**20
"""No file above this is read: published tables of whole papers take some hundredth of it."""
DEEPEST = 40
"""Levels of lists and mappings. libyaml ends the process somewhere below 100,000 of them."""
LARGEST_DIGITS = 300
"""Digits of a whole number; with more it would not fit into a floating-point number."""

_TAG = "tag:yaml.org,2002:"
_INDENTED = re.compile(rf"(?m)^[ \-?:]{{{DEEPEST // 2}}}")
if TYPE_CHECKING:
    from yaml import SafeLoader as _Safe
else:
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where libyaml is


class _Loader(_Safe):
    """Safe loader that recognises the scalars of YAML 1.2 and nothing else."""


_PATTERNS: dict[str, re.Pattern[str]] = {}
"""What the plain values of a kind look like."""
_Loader.yaml_implicit_resolvers = {}  # in place of the table of YAML 1.1
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
):
    _PATTERNS[_name] = re.compile(rf"^(?:{_pattern})$")
    _Loader.add_implicit_resolver(_TAG + _name, _PATTERNS[_name], _first)


@dataclass
class Document:
    """A parsed file: its data, where everything stands, and the mistakes met on the way."""

    path: Path
    data: object = None
    keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    values: dict[Location, tuple[int, int]] = field(default_factory=dict)
    ends: dict[Location, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, location: Location, message: str, *, at_key: bool = False) -> Problem:
        """A problem at a value (or its key), or at the nearest enclosing one that is written."""
        written = location
        while written and written not in self.values:
            written = written[:-1]
        places: Mapping[Location, tuple[int, int]] = self.values
        if at_key and written in self.keys:
            places = self.keys
        line, column = places.get(written, (1, 1))
        return Problem(self.path, line, column, dotted(location), message)


def read(path: Path) -> Document:
    """Parse one file. Never raises for what the file says: see `Document.problems`."""
    document = Document(path)
    try:
        text = content(path, LARGEST_BYTES, "registry files").decode()
        if deep := _too_deep(text):
            document.problems.append(
                Problem(path, *deep, "", f"nested more than {DEEPEST} levels deep")
            )
            return document
        root = yaml.compose(text, Loader=_Loader)
    except OSError as error:
        document.problems.append(Problem(path, 1, 1, "", f"cannot be read ({error.strerror})"))
        return document
    except Unreadable as error:
        document.problems.append(Problem(path, 1, 1, "", f"cannot be read ({error})"))
        return document
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        message = f"not UTF-8 text ({error.reason})"
        document.problems.append(Problem(path, line, column, "", message))
        return document
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(path, text, error))
        return document
    except yaml.YAMLError as error:
        document.problems.append(Problem(path, 1, 1, "", f"not YAML: {error}"))
        return document
    if root is None:
        document.problems.append(Problem(path, 1, 1, "", "the file is empty"))
        return document
    document.data = _build(root, (), document, set())
    return document


def _too_deep(text: str) -> tuple[int, int] | None:
    """Line and column of the first list or mapping below the deepest level; None without."""
    # Every level takes a bracket, or a sign or a space at the beginning of a line: most files have
    # too few of them, and are not read twice.
    if text.count("[") + text.count("{") <= DEEPEST // 2 and not _INDENTED.search(text):
        return None
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                assert event.start_mark is not None, "a parsed event has one"
                return event.start_mark.line + 1, event.start_mark.column + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _syntax_problem(path: Path, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message = f"not YAML: {error.problem or error.context}"
    if "cannot start any token" in message:
        sign = text.splitlines()[line - 1][column - 1]
        tab = "a tab cannot indent YAML: use spaces"
        message = tab if sign == "\t" else f"no value can start with {sign}: write it in quotes"
    elif "mapping values are not allowed" in message:
        message += " (text with ': ' in it needs quotes)"
    return Problem(path, line, column, "", message)


def _build(node: yaml.Node, location: Location, document: Document, seen: set[int]) -> object:
    start = (node.start_mark.line + 1, node.start_mark.column + 1)
    document.values[location] = start
    document.ends[location] = (node.end_mark.line + 1, node.end_mark.column + 1)
    if id(node) in seen:
        document.problems.append(
            document.problem(location, "anchors and aliases are not allowed: write the value out")
        )
        return None
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        return _mapping(node, location, document, seen)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [
            _build(item, (*location, index), document, seen)
            for index, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_TAG):
        kind = node.tag.removeprefix(_TAG)
        if kind in _PATTERNS and not _PATTERNS[kind].match(node.value):
            # A tag that is written out may claim anything to be a number.
            wrong = f"'{node.value:.60}' has the tag '{kind}' and is none: write plain values"
            document.problems.append(document.problem(location, wrong))
            return None
        if kind in ("int", "float"):
            return _number(kind, node.value, location, document)
        if kind in _SCALARS:
            return _SCALARS[kind](node.value)
    document.problems.append(
        document.problem(location, f"the tag '{node.tag}' is not allowed: write plain values")
    )
    return None


def _number(kind: str, text: str, location: Location, document: Document) -> float | None:
    # Before `int`, which refuses thousands of digits, and whose result may not fit into a float.
    value = float(text)
    if abs(value) >= 10.0**LARGEST_DIGITS:
        document.problems.append(document.problem(location, "the number is too large"))
        return None
    return int(text) if kind == "int" else value


def _mapping(
    node: yaml.MappingNode, location: Location, document: Document, seen: set[int]
) -> dict[str, object]:
    data: dict[str, object] = {}
    for key_node, value_node in node.value:
        position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(
                Problem(document.path, *position, dotted(location), "a key must be plain text")
            )
            continue
        key = key_node.value
        here = (*location, key)
        if key in data:
            line, _ = document.keys[here]
            document.problems.append(
                Problem(
                    document.path, *position, dotted(here), f"duplicate key, first on line {line}"
                )
            )
            continue
        document.keys[here] = position
        data[key] = _build(value_node, here, document, seen)
    return data


_SCALARS: dict[str, Callable[[str], object]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "str": str,
}
