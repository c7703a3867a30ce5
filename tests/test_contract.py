"""The contract test has teeth: each broken method fails with a message that names its fault."""

import pytest
from broken_methods import BROKEN, NOISE
from toy import SHARED_ADAPT, write_method, write_tasks

from suite.contract import check_method
from suite.registry import load


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def faults(tmp_path):
    def check(**method):
        write_tasks(tmp_path)
        write_method(tmp_path, "subject", **method)
        source = tmp_path / "methods" / "subject.py"
        source.write_text(source.read_text() + NOISE)
        registry = load(tmp_path)
        registry.require_valid()
        findings = check_method(registry.methods["subject"], registry, "resnet")
        return [finding.fault for finding in findings if finding.fault]

    return check


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_method_is_caught_and_its_fault_named(faults, fault):
    method, words = BROKEN[fault]
    found = faults(**method)
    assert any(words in message for message in found), found


def test_a_sound_method_has_no_faults(faults):
    assert faults() == []


def test_a_sound_joint_method_has_no_faults(faults):
    python = f"""
from dataclasses import dataclass

from suite.method import Method, adapted, context_of


@dataclass(frozen=True)
class Joint(Method):
    def adapt(self, backbone, tasks):
        {SHARED_ADAPT}
        return model
"""
    assert faults(python=python, regime="joint") == []
