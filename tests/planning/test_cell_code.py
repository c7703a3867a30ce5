"""What of the source decides a cell: edits that matter, edits that do not, and what really runs."""

import functools
import inspect
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import golden
import pytest
import torch
from planning.edits import CELLS, EDITS, METRICS

import suite
from suite.planning.cell_code import (
    ENTRIES,
    GENERATED,
    LEAVES,
    OF_FORMS,
    PARTS,
    READ,
    CellCode,
    choice_of,
)
from suite.planning.source import Place, Sources
from suite.planning.tokens import MODULE_NAMES
from suite.registry import load

PACKAGE = Path(suite.__file__).parent
REGISTRY = load()
NEUTRAL = [edit for edit in EDITS if not edit.stale]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the Python files of the package and of the methods."""
    root = tmp_path_factory.mktemp("source")
    for folder in (PACKAGE, REGISTRY.methods["taps"].path.parent):
        for path in folder.rglob("*.py"):
            target = root / folder.name / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return root


@pytest.fixture(scope="module")
def before(source):
    return digests(source)


@contextmanager
def edited(root, *edits):
    """The source after edits; as it was when that is over."""
    files = {path: path.read_bytes() for path in root.rglob("*.py")}
    try:
        for edit in edits:
            edit.change(root)
        yield
    finally:
        for path in root.rglob("*.py"):
            if path not in files:
                path.unlink()
        for path, content in files.items():
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)


def digests(root):
    """Digest of every cell and metric under the source in `root`."""
    code = CellCode(root / "suite")
    found = {}
    for name, (method, backbone) in CELLS.items():
        entry = REGISTRY.methods[method]
        entry = entry.model_copy(update={"path": root / "methods" / entry.path.name})
        of = REGISTRY.backbones[backbone]
        found[name] = code.of(entry, entry.options, of, of.scale).digest
    return found | {metric: code.metrics((metric,), entry) for metric in METRICS}


def stale_after(root, before, *edits):
    with edited(root, *edits):
        after = digests(root)
    return {name for name in after if after[name] != before[name]}


def test_edits_of_what_is_not_computed_make_nothing_stale(source, before):
    if stale_after(source, before, *NEUTRAL):
        each = {edit.name: stale_after(source, before, edit) for edit in NEUTRAL}
        pytest.fail(str({name: stale for name, stale in each.items() if stale}))


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit.stale], ids=lambda edit: edit.name)
def test_an_edit_makes_stale_what_it_changes_and_nothing_else(edit, source, before):
    assert stale_after(source, before, edit) == set(edit.stale)


def test_parts_name_what_changed(source):
    def parts():
        entry = REGISTRY.methods["adapters"]
        entry = entry.model_copy(update={"path": source / "methods" / entry.path.name})
        of = REGISTRY.backbones["bert_mini"]
        return CellCode(source / "suite").of(entry, entry.options, of, of.scale).parts

    before = parts()
    assert [*before] == [*PARTS, "layers", "method"]
    by_name = {edit.name: edit for edit in EDITS}
    for name, part in {
        "warm-up": "training",
        "the order of batches": "data",
        "a site of BERT": "backbones",
        "initial weights": "layers",
        "where adapters go": "method",
        "the score of a task": "metrics",
    }.items():
        with edited(source, by_name[name]):
            after = parts()
        assert [key for key in after if after[key] != before[key]] == [part], name


COMPREHENSIONS = ("<dictcomp>", "<listcomp>", "<setcomp>", "<genexpr>")


@pytest.mark.parametrize("method", ["taps", "hyperformer_pp"])
def test_whatever_runs_in_a_cell_counts(method, monkeypatch):
    cell = next(cell for cell in golden.CELLS if cell.method == method)
    with golden.workspace() as shared:
        entry = shared.registry.methods[method]
        backbone = shared.registry.backbones[cell.backbone]
        choice = choice_of(backbone, backbone.scale, METRICS)
        ran = set()
        traced = tracer(ran, entry.python_path, choice)
        monkeypatch.setattr(golden, "run_cell", traced(golden.run_cell))
        golden.measure(cell, shared)
    counted = CellCode().places(entry, choice, backbone.family)
    assert [str(place) for place in sorted(ran) if place not in counted] == []
    assert len(ran) > 50


def tracer(ran, method, choice):
    """Wraps a function so that the definitions of the package and of the method's file that run in
    it are added to `ran`, apart from leaves and what they call."""
    leaves = []

    @functools.cache
    def place_of(code):
        path = Path(code.co_filename)
        # The body of a class, and a table made in a loop, run when their module is imported.
        if not code.co_flags & inspect.CO_OPTIMIZED or code.co_qualname in COMPREHENSIONS:
            return None
        if path == method:
            return Place(f"methods.{path.stem}", code.co_qualname.split(".")[0])
        if not path.is_relative_to(PACKAGE):
            return None
        words = path.relative_to(PACKAGE.parent).with_suffix("").parts
        first, *rest = code.co_qualname.split(".")
        of_entry = rest[:1] if ".".join(words).startswith(ENTRIES) else []
        return Place(".".join(words), ".".join((first, *of_entry)))

    @functools.cache
    def is_leaf(place):
        return choice.is_leaf(place) and "." not in place.name

    def seen(frame, event, argument):
        place = place_of(frame.f_code) if event in ("call", "return") else None
        if place is None:
            return
        if is_leaf(place):
            leaves.append(place) if event == "call" else leaves.pop()
        elif not leaves:
            ran.add(place)

    def wrap(function):
        def run(*arguments):
            sys.setprofile(seen)
            try:
                return function(*arguments)
            finally:
                sys.setprofile(None)

        return run

    return wrap


def test_what_is_left_out_by_name_exists():
    sources = Sources(PACKAGE)
    for name in (*LEAVES, *GENERATED, *READ, ENTRIES, *OF_FORMS):
        target = sources.resolve(name)
        assert target.module, name
        assert not target.attributes, name


def test_every_name_of_a_torch_module_is_known():
    # Other libraries add some of their own.
    own = {
        name
        for name, value in vars(torch.nn.Module).items()
        if getattr(value, "__module__", "").startswith("torch.") and not name.startswith("_")
    }
    assert len(own) > 50
    assert own <= MODULE_NAMES
