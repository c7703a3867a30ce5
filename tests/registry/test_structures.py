"""Every night: registry files whose structure was changed at random are read or named."""

import copy
import random
import re

import pytest
import yaml
from registries import write_registry

from suite.registry import load

ODD = (
    None, True, -1, 3.7, 2**63, 1e299, "", " ", "a" * 3000, "../../etc", "nan", "{x}", "{sentence",
    "a\x00b", "\x1b[31mred", "é", "\u202e", [], {}, [[]], [None], {"a": 1}, {"": None}, ["a", "a"],
    {"mini": None}, {"full": {}}, "9**9**9", "w*" * 100 + "1", "w if T else 1/0", "min()",
    "__import__('os')", "lambda: 1", [1, 2, 3], "&a [*a]", "!!python/name:os.system x",
)  # fmt: skip


def places(value, at=()):
    if at:
        yield at
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(below, (*at, key))


def changed(data, rng):
    data = copy.deepcopy(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        *way, last = rng.choice([*places(data)])
        holder = data
        for key in way:
            holder = holder[key]
        match rng.randrange(4):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[f"{last}{rng.choice(' -_e:')}"] = holder.pop(last)
            case 2:
                other = data
                for key in rng.choice([*places(data)]):
                    other = other[key]
                holder[last] = copy.deepcopy(other)
            case _:
                holder[last] = rng.choice(ODD)
        if not [*places(data)]:
            break
    return data


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_a_changed_structure_is_read_or_named_and_the_others_are_read(tmp_path, seed):
    rng = random.Random(seed)
    folder = write_registry(tmp_path)
    files = sorted(folder.rglob("*.yaml"))
    for _ in range(6):
        path = rng.choice(files)
        before = path.read_text()
        path.write_text(yaml.safe_dump(changed(yaml.safe_load(before), rng), sort_keys=False))
        known = load(folder)
        for problem in map(str, known.problems):
            assert re.search(r":\d+:\d+: ", problem) and problem.isprintable()
            assert len(problem) < 2000
        assert {"one", "together"} - {path.stem} <= known.methods.keys()
        path.write_text(before)
