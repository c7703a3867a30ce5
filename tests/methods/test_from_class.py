"""A class that was typed into a notebook becomes a file that another process can import."""

import dataclasses

import pytest
import torch
from notebook import Notebook

import suite
from suite.errors import UserError
from suite.method.load import load_method
from suite.planning.code_cache import Codes
from suite.planning.plan import plan
from suite.planning.request import request
from suite.registry import load
from suite.registry.schema import Scale

IMPORTS = """\
from collections.abc import Sequence
from dataclasses import dataclass
import math as maths

import torch
import torch.nn.functional as F
from torch import nn

from suite.method import Method, PerTask, adapted, context_of
"""
HELPERS = """\
SIZES = {"small": (2, 3), "large": [4.5]}
UNUSED = object()

class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, HIDDEN)

    def forward(self, x):
        return F.relu(x) * torch.erf(x) * maths.pi

HIDDEN = 3

def twice(value):
    model = 2 * value  # the notebook has a `model`, too
    return model
"""
CLASS = """\
@dataclass(frozen=True)
class OwnAdapters(Method):
    \"\"\"Adapters of one's own.

    With more to say.\"\"\"

    rank: int = 4
    name: str = "x"

    def adapt(self, backbone, tasks: Sequence):
        context = context_of(tasks)
        for site in backbone.of_kind("norm"):
            backbone.replace(site, PerTask(context, {t.name: Layer(twice(8)) for t in tasks}))
        if SIZES["small"][0] == 2:
            return adapted(backbone, tasks, context)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def defined(*cells, name="OwnAdapters"):
    notebook = Notebook()
    for cell in cells:
        notebook.run(cell)
    return notebook.names[name]


def test_the_file_holds_the_class_and_all_that_it_names():
    cls = defined(IMPORTS, "model = nn.Linear(1, 1)", HELPERS, CLASS)
    path = suite.as_method(cls).python_path
    text = path.read_text()
    assert CLASS.strip() in text
    assert "UNUSED" not in text and "model = nn" not in text
    assert text.index("class Layer") < text.index("class OwnAdapters")
    names = {}
    exec(text, names)  # in a namespace that has nothing but what the file defines
    x, own = torch.linspace(-1, 1, 5), defined(IMPORTS, HELPERS, name="Layer")
    assert names["Layer"](8).forward(x).equal(own(8).forward(x))
    assert names["SIZES"] == {"small": (2, 3), "large": [4.5]}


def test_an_entry_says_what_the_class_is():
    entry = suite.as_method(defined(IMPORTS, HELPERS, CLASS))
    assert (entry.name, entry.title, entry.regime) == ("own_adapters", "OwnAdapters", "per_task")
    assert entry.summary == "Adapters of one's own."
    assert {name: option.default for name, option in entry.options.items()} == {
        "rank": 4,
        "name": "x",
    }
    assert not entry.cost_stated
    method = load_method(entry, {"rank": 2, "name": "y"})
    assert dataclasses.astuple(method) == (2, "y")


def test_words_about_a_class_are_those_of_its_yaml():
    cls = defined(IMPORTS, HELPERS, CLASS)
    entry = suite.as_method(
        cls, name="mine", regime="joint", families=["bert"], recipe={"learning_rate": 0.5},
        cost="rank * d",
    )  # fmt: skip
    assert entry.cost_stated
    assert [term.count for term in entry.cost.shared] == ["rank * d"]
    asked = request("mine", "glue", seeds=0, options={"mine.rank": 7})
    registry = dataclasses.replace(load(), methods={"mine": entry})
    bert, t5 = plan(asked, registry).planned
    assert bert.cell.recipe.learning_rate == 0.5
    assert bert.cell.options["rank"] == 7
    assert (bert.action, t5.action) == ("run", "unsupported")


def test_a_cost_may_use_what_the_class_measures():
    cls = defined(IMPORTS, HELPERS, CLASS)
    words = {"cost": "kept * d", "facts": {"kept": "rows that are kept"}}
    entry = suite.as_method(cls, **words, replaces_backbone=True)
    assert (entry.facts, entry.replaces_backbone) == ({"kept": "rows that are kept"}, True)
    with pytest.raises(UserError, match="unknown name 'kept'"):
        suite.as_method(cls, cost="kept * d")


def test_the_identity_is_that_of_the_source():
    backbone = load().backbones["bert_mini"]

    def digest(*cells):
        entry = suite.as_method(defined(*cells))
        return Codes().of(entry, entry.options, backbone, Scale.MINI).digest

    first = digest(IMPORTS, HELPERS, CLASS)
    assert digest(IMPORTS + HELPERS + "\n" + CLASS) == first
    assert digest(IMPORTS, HELPERS.replace("2 * value", "3 * value"), CLASS) != first
    assert digest(IMPORTS, HELPERS.replace("HIDDEN = 3", "HIDDEN = 4"), CLASS) != first
    assert digest(IMPORTS, HELPERS, CLASS.replace("rank: int = 4", "rank: int = 5")) != first


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ((IMPORTS, HELPERS, "HIDDEN = nn.Linear(1, 1)", CLASS), "uses 'HIDDEN', a Linear that"),
        ((IMPORTS, HELPERS, "SIZES = {1: torch.ones(2)}", CLASS), "uses 'SIZES', a dict that"),
        ((IMPORTS, HELPERS, CLASS.replace("int = 4", "int")), "option 'rank' needs a number"),
        (
            (IMPORTS, HELPERS, CLASS.replace("@dataclass(frozen=True)\n", "")),
            "OwnAdapters has fields: decorate it with @dataclass",
        ),
        ((IMPORTS, HELPERS, CLASS.replace("int = 4", "list = None")), "option 'rank' needs a num"),
        (
            (IMPORTS, HELPERS, CLASS.replace("class OwnAdapters(Method)", "class Base(Method)"),
             "class OwnAdapters(Base):\n    def adapt(self, backbone, tasks):\n        pass\n"),
            "must define one public class that derives from Method, not Base, OwnAdapters",
        ),
    ],
)  # fmt: skip
def test_what_another_process_could_not_see_is_named(cells, message):
    with pytest.raises(UserError, match=message):
        suite.as_method(defined(*cells))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"regime": "both"}, "OwnAdapters: regime: "),
        ({"families": ["bort"]}, "OwnAdapters: families"),
        ({"families": 3}, "families: must be a text or a list of texts, not 3"),
        ({"recipe": {"learning_rat": 1}}, "OwnAdapters: recipe.mini.default.learning_rat: Extra"),
        ({"recipe": ["learning_rate"]}, r"recipe: must be as in {.*}, not \['learning_rate'\]"),
        ({"cost": "rankk * d"}, "unknown name 'rankk'; did you mean 'rank'?"),
        ({"name": "Not A Name"}, "OwnAdapters: name: "),
    ],
)
def test_a_word_that_no_yaml_could_say_is_named(words, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        suite.as_method(defined(IMPORTS, HELPERS, CLASS), **words)


def test_a_class_whose_source_is_not_kept_is_refused():
    names = {"__name__": "__main__"}
    exec(compile(IMPORTS + HELPERS + CLASS, "<nowhere>", "exec"), names)
    with pytest.raises(UserError, match="the source of OwnAdapters is not kept"):
        suite.as_method(names["OwnAdapters"])


def test_a_name_of_the_registry_is_not_taken_over():
    cls = defined(IMPORTS, HELPERS, CLASS.replace("OwnAdapters", "Lora"), name="Lora")
    with pytest.raises(UserError, match=r"has a method 'lora'.*suite.as_method\(Lora, name="):
        suite.plan([cls], "rte")


def test_an_object_in_place_of_its_class_is_named():
    cls = defined(IMPORTS, HELPERS, CLASS)
    with pytest.raises(UserError, match=r'give the class OwnAdapters.*"own_adapters.OPTION"'):
        suite.as_method(cls())


def test_a_class_that_adapts_nothing_is_named():
    cls = defined(IMPORTS, HELPERS, "class OwnAdapters(Method):\n    pass\n")
    with pytest.raises(UserError, match="OwnAdapters does not define adapt"):
        suite.as_method(cls)
