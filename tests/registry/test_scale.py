import json

import pytest

from suite.cli.main import build_parser
from suite.registry.schema import GeneratedSource, HubSource, Option, Scale, Sources
from suite.results.records import CellKey


def test_a_scale_is_its_name_in_a_file():
    cell = CellKey(method="m", backbone="b", scale="mini", track="t", tasks=("a",), seed=0)
    assert json.loads(cell.model_dump_json())["scale"] == "mini"
    assert cell.file_name == "mini.m.t-a.b.s0.json"
    assert CellKey.model_validate_json(cell.model_dump_json()).scale is Scale.MINI


@pytest.mark.parametrize("scale", Scale)
def test_the_command_line_takes_every_scale(scale):
    options = build_parser().parse_args(["plan", "-m", "x", "-t", "y", *scale.argument.split()])
    assert Scale(options.scale) is scale


def test_sources_and_defaults_are_those_of_the_scale():
    generated = GeneratedSource(python="a.py", function="make", version=1, digest="0" * 64)
    hub = HubSource(hub="a/b", split_rule="named")
    sources = Sources(mini=generated, full=hub)
    assert (sources.at(Scale.MINI), sources.at(Scale.FULL)) == (generated, hub)
    width = Option(default=32, mini=8, description="")
    assert (width.default_at(Scale.MINI), width.default_at(Scale.FULL)) == (8, 32)
    assert Option(default=32, description="").default_at(Scale.MINI) == 32
