"""The contract test has teeth: each broken method fails with a message that names its fault."""

from types import SimpleNamespace

import pytest
import torch
from broken_conduct import CONDUCT
from broken_methods import BROKEN, NOISE
from toy import SHARED_ADAPT, write_method, write_tasks

from suite.backbones.load import load_backbone
from suite.contract import fixture
from suite.contract.fixture import family_bench
from suite.contract.methods import check_method
from suite.engine.ledger import dimensions
from suite.registry import load


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


JOINT = f"""
from dataclasses import dataclass

from suite.method import Method, adapted, context_of


@dataclass(frozen=True)
class Joint(Method):
    def adapt(self, backbone, tasks):
        {SHARED_ADAPT}
        return model
"""
CASES = {fault: method for fault, (method, _) in (BROKEN | CONDUCT).items()}
CASES |= {"sound": {}, "sound, joint": {"python": JOINT, "regime": "joint"}}
NAMES = {case: f"subject{number}" for number, case in enumerate(CASES)}


@pytest.fixture(scope="module")
def registry(tmp_path_factory, cache):
    """The methods of all cases."""
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    for case, method in CASES.items():
        write_method(folder, NAMES[case], **method)
        source = folder / "methods" / f"{NAMES[case]}.py"
        source.write_text(source.read_text() + NOISE)
    known = load(folder)
    known.require_valid()
    return known


@pytest.fixture
def faults(registry, monkeypatch):
    # Some methods change these.
    monkeypatch.setattr(torch.nn.ReLU, "forward", torch.nn.ReLU.forward)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    # Of each method's file, only to find the examples that were encoded before.
    code = SimpleNamespace(parts={"data": ""})
    monkeypatch.setattr(fixture, "Codes", lambda: SimpleNamespace(of=lambda *_: code))

    def check(case):
        found = check_method(registry.methods[NAMES[case]], registry, "resnet")
        return (each.fault.replace(NAMES[case], "subject") for each in found if each.fault)

    return check


@pytest.mark.parametrize("fault", BROKEN | CONDUCT)
def test_a_broken_method_is_caught_and_its_fault_named(faults, fault):
    _, words = (BROKEN | CONDUCT)[fault]
    found = []
    # What the checks after the one that names the fault would say is of no interest.
    for message in faults(fault):
        found.append(message)
        if words in message:
            return
    pytest.fail(f"not named: {found}")


def test_a_cost_that_is_right_on_one_family_only_is_caught_on_the_other(tmp_path):
    write_tasks(tmp_path)
    track = tmp_path / "tasks" / "colours" / "track.yaml"
    track.write_text(track.read_text().replace("resnet_mini", "resnet_mini, densenet_mini"))
    backbone, _ = family_bench(load(tmp_path), "resnet")
    norms = dimensions(load_backbone(backbone))["norm"]
    write_method(tmp_path, "subject", cost=str(norms))
    file = tmp_path / "methods" / "subject.yaml"
    text = file.read_text().replace("[resnet]", "[resnet, densenet]")
    file.write_text(text.replace("densenet: toy, ", ""))
    registry = load(tmp_path)
    registry.require_valid()
    entry = registry.methods["subject"]
    assert not any(finding.fault for finding in check_method(entry, registry, "resnet"))
    found = (finding.fault for finding in check_method(entry, registry, "densenet"))
    assert any("cost.per_task in subject.yaml" in fault for fault in found)


@pytest.mark.parametrize("case", ["sound", "sound, joint"])
def test_a_sound_method_has_no_faults(faults, case):
    assert [*faults(case)] == []
