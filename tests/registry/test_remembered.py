"""A registry that is remembered is the one that its files say, at every moment."""

import os
from pathlib import Path

import pytest
from registries import problems, replace

from suite.registry import load, loader
from suite.registry.cache import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def reads(monkeypatch):
    """The files that were parsed."""
    read, found = loader.read, []
    monkeypatch.setattr(loader, "read", lambda path: found.append(path) or read(path))
    return found


def test_files_that_did_not_change_are_not_parsed_again(folder, reads):
    first = load(folder)
    assert reads
    reads.clear()
    assert load(folder) == first
    assert reads == []


def test_an_edit_of_the_same_length_and_time_is_seen(folder):
    load(folder)
    path = folder / "methods" / "one.yaml"
    before = path.stat()
    replace(path, "learning_rate: 2e-3", "learning_rate: 4e-3")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert load(folder).methods["one"].recipe["mini"]["default"].learning_rate == 4e-3


@pytest.mark.parametrize("change", ["a file more", "a file less", "the code of a method"])
def test_every_file_counts(folder, change):
    load(folder)
    one, two = (folder / "methods" / f"{name}.yaml" for name in ("one", "two"))
    if change == "a file more":
        two.write_text(one.read_text().replace("name: one", "name: two"))
        (folder / "methods" / "two.py").write_text((folder / "methods" / "one.py").read_text())
        assert "two" in load(folder).methods
    elif change == "a file less":
        one.unlink()
        assert "one" not in load(folder).methods
    else:
        replace(folder / "methods" / "one.py", "    rank: int\n", "")
        assert problems(folder)


def test_mistakes_are_told_every_time(folder):
    replace(folder / "methods" / "one.yaml", "learning_rate: 2e-3", "learning_rate: -1")
    first = problems(folder)
    assert first
    assert problems(folder) == first


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x04N."])
def test_a_damaged_file_of_the_cache_is_as_if_it_were_not_there(folder, content):
    first = load(folder)
    files = [*Path(cache_folder(), "registry").iterdir()]
    assert len(files) == 1
    files[0].write_bytes(content)
    assert load(folder) == first


def test_an_edit_in_a_folder_that_is_a_link_is_seen(folder, tmp_path):
    track = folder / "tasks" / "toy"
    track.rename(tmp_path / "elsewhere")
    track.symlink_to(tmp_path / "elsewhere")
    load(folder)
    replace(track / "first.yaml", "Says yes or no", "Says so or no")
    assert load(folder).tasks["toy/first"].description == "Says so or no"
