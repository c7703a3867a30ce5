"""What the files of families say of themselves, read without being imported: planning has no torch.

A family is a class in a file of its own, `suite/backbones/families/NAME.py`, called like the file.
One that derives from the class of another file is a kind of that family: it inherits what its class
does not say, the recipes written for it, and the methods that are defined on it.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from suite.registry.python_source import parse

PACKAGE = "suite.backbones.families"
FOLDER = Path(__file__).parents[1] / "backbones" / "families"
Form = Literal["image", "text", "text_to_text"]
"""Images or texts to features, or a text to an answer that is written."""

INHERITED = ("form", "other_forms", "kinds", "pooling")


@dataclass(frozen=True)
class FamilyFacts:
    """What planning knows of a family.

    `form` is what its backbones do unless their entry asks for one of `other_forms`. `kinds` are
    the kinds of sites that its networks have. `timm` are globs of architectures and `transformers`
    model types, the `model_type` of a `config.json`, that belong to it.
    """

    name: str
    class_name: str
    form: Form
    other_forms: tuple[Form, ...] = ()
    parent: str = ""
    kinds: tuple[str, ...] = ()
    timm: tuple[str, ...] = ()
    transformers: tuple[str, ...] = ()
    pooling: Literal["mean", "cls", "last"] = "mean"
    """How a text's features are pooled where the backbone's entry does not say it."""

    @property
    def served(self) -> tuple[str, ...]:
        """The architectures that belong to it, in the words of their library."""
        return (*self.timm, *self.transformers)


@functools.cache
def families() -> Mapping[str, FamilyFacts]:
    """Every family by its name, in the order of names."""
    trees = {path.stem: parse(path.read_bytes()) for path in sorted(FOLDER.glob("[!_]*.py"))}
    bases = _classes(parse(FOLDER.with_name("family.py").read_bytes()))
    found: dict[str, FamilyFacts] = {}

    def read(name: str) -> FamilyFacts:
        if name not in found:
            node = _class_of(name, trees[name])
            parent = _parent(node, trees[name])
            own = [bases[base] for base in _base_names(node) if base in bases]
            words = {key: value for each in (*own, node) for key, value in _literals(each).items()}
            # The architectures of a parent are not those of its kinds.
            above = read(parent) if parent else None
            inherited = {key: getattr(above, key) for key in INHERITED if above}
            known = {key: words[key] for key in FamilyFacts.__dataclass_fields__ if key in words}
            found[name] = FamilyFacts(
                **{**inherited, **known, "name": name, "class_name": node.name, "parent": parent}
            )
        return found[name]

    return {name: read(name) for name in trees}


def lineage(family: str) -> Iterator[str]:
    """A family, the one that it is a kind of, and so on."""
    while family:
        yield family
        family = families()[family].parent


def family_of(library: str, architecture: str) -> FamilyFacts | None:
    """The family that an architecture of `timm` or `transformers` belongs to, by the longest of the
    patterns that fit; None if no family serves it."""
    fitting = [
        (len(pattern), family)
        for family in families().values()
        for pattern in getattr(family, library, ())
        if fnmatchcase(architecture, pattern)
    ]
    return max(fitting, key=lambda found: found[0], default=(0, None))[1]


def served(library: str) -> str:
    """`bert (bert, camembert, ...), ...`: the families and what they serve of a library."""
    return "; ".join(
        f"{family.name} ({', '.join(own)})"
        for family in families().values()
        if (own := getattr(family, library, ()))
    )


def _class_of(name: str, tree: ast.Module) -> ast.ClassDef:
    """The public class of a family's file."""
    (node,) = [
        node
        for class_name, node in _classes(tree).items()
        if class_name.lower() == name.replace("_", "")
    ]
    return node


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _base_names(node: ast.ClassDef) -> list[str]:
    return [getattr(base, "id", "") for base in node.bases]


def _parent(node: ast.ClassDef, tree: ast.Module) -> str:
    """The family whose class this one derives from; empty if there is none."""
    modules = {
        alias.asname or alias.name: statement.module or ""
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    parents = [modules.get(base, "").rpartition(".") for base in _base_names(node)]
    return next((name for package, _, name in parents if package == PACKAGE), "")


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    """The attributes of a class whose values are written out."""
    found = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign | ast.Assign) and item.value is not None:
            target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(item.value)
                except ValueError:
                    continue
    return found
