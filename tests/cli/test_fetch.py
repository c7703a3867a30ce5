"""`fetch` goes on where a connection broke, and lets nothing damaged stay."""

import hashlib
import random
from pathlib import Path

import huggingface_hub.hf_api  # noqa: F401  (imported here, it takes no time of a test)
import pytest
from hub_server import HubServer, serving
from huggingface_hub import constants

TRAIN, VALIDATION = (f"rte/{split}-00000-of-00001.parquet" for split in ("train", "validation"))
OTHER = "cola/train-00000-of-00001.parquet"


def some_bytes(seed):
    return random.Random(seed).randbytes(400_000)


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A hub with the data set of the task `there/rte`, and a file that no task reads."""
    track = folder / "tasks" / "there"
    track.mkdir()
    (track / "track.yaml").write_text(
        "{schema: 1, name: there, description: One, modality: text, tasks: [rte], backbones: {}}"
    )
    (track / "rte.yaml").write_text(
        "{schema: 1, name: rte, description: One, modality: text, metrics: [accuracy],"
        " licence: none, output: {type: classification, labels: 2},"
        " text: {columns: [a], template: '{a}'},"
        " sources: {full: {hub: owner/set, config: rte, split_rule: halve_validation}}}"
    )
    made = HubServer("owner/set", {n: some_bytes(n) for n in (TRAIN, VALIDATION, OTHER)})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    with serving(made) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield made


def assert_whole(hub, out):
    """The manifest names the files that the task reads, with the digests of what the hub has."""
    lines = [line.split("  ") for line in out.splitlines()]
    assert len(lines) == 2
    for (digest, path), name in zip(lines, (TRAIN, VALIDATION), strict=True):
        assert path.endswith(name)
        assert digest == hashlib.sha256(hub.files[name]).hexdigest()
        assert Path(path).read_bytes() == hub.files[name]


def test_what_a_task_reads_is_fetched_once(hub, call):
    code, out, _ = call("fetch", "-t", "there/rte")
    assert code == 0
    assert_whole(hub, out)
    assert call("fetch", "-t", "there/rte")[:2] == (0, out)
    assert sorted(hub.asked) == [(TRAIN, None), (VALIDATION, None)]


@pytest.mark.nightly  # The client waits for a second.
def test_a_broken_connection_is_taken_up_where_it_broke(hub, call):
    hub.break_off[TRAIN] = 1
    code, out, _ = call("fetch", "-t", "there/rte")
    assert code == 0
    assert_whole(hub, out)
    assert [asked for name, asked in hub.asked if name == TRAIN] == [None, "bytes=200000-"]


def test_what_arrived_before_a_failure_stays(hub, call):
    hub.fail[TRAIN] = 1
    code, out, err = call("fetch", "-t", "there/rte")
    assert (code, out) == (1, "")
    assert "could not fetch owner/set: " in err
    code, out, _ = call("fetch", "-t", "there/rte")
    assert code == 0
    assert_whole(hub, out)
    assert sorted(hub.asked) == [(TRAIN, None), (TRAIN, None), (VALIDATION, None)]


def test_what_arrives_damaged_is_named_and_fetched_again(hub, call):
    hub.damage[TRAIN] = 1
    code, out, err = call("fetch", "-t", "there/rte")
    assert code == 0
    assert_whole(hub, out)
    assert f"owner/set: {TRAIN} is damaged, its SHA-256 is " in err
    assert [name for name, _ in hub.asked].count(TRAIN) == 2
    assert [name for name, _ in hub.asked].count(VALIDATION) == 1


def test_what_is_always_damaged_does_not_stay(hub, call, tmp_path):
    hub.damage[TRAIN] = 99
    code, out, err = call("fetch", "-t", "there/rte")
    assert (code, out) == (1, "")
    assert "could not fetch owner/set: it arrived damaged 2 times" in err
    assert not list((tmp_path / "hub").rglob(Path(TRAIN).name))


def test_what_was_damaged_later_is_fetched_again(hub, call, monkeypatch):
    out = call("fetch", "-t", "there/rte")[1]
    path = Path(out.splitlines()[0].split("  ")[1])
    path.resolve().write_bytes(b"x" + hub.files[TRAIN][1:])
    code, again, err = call("fetch", "-t", "there/rte")
    assert (code, again) == (0, out)
    assert f"{TRAIN} is damaged" in err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert call("fetch", "-t", "there/rte")[:2] == (0, out)


def test_without_its_hub_what_is_there_is_listed_and_not_compared(hub, call, monkeypatch):
    out = call("fetch", "-t", "there/rte")[1]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, again, err = call("fetch", "-t", "there/rte")
    assert (code, again) == (0, out)
    assert "owner/set was not compared with the hub: " in err


def test_files_are_compared_with_a_manifest_of_another_machine(hub, call, tmp_path):
    out = call("fetch", "-t", "there/rte")[1]
    manifest = tmp_path / "manifest"
    manifest.write_text(out.replace(str(tmp_path), "/elsewhere"))
    assert call("fetch", "-t", "there/rte", "--manifest", str(manifest))[0] == 0
    first = out.split()[0]
    manifest.write_text(manifest.read_text().replace(first, 64 * "0"))
    code, again, err = call("fetch", "-t", "there/rte", "--manifest", str(manifest))
    assert (code, again) == (1, out)
    assert f"{Path(TRAIN).name} has SHA-256 {first}; manifest says {64 * '0'}" in err


def test_a_manifest_that_is_none_is_refused(hub, call, tmp_path):
    manifest = tmp_path / "manifest"
    manifest.write_text("no digest\n")
    code, _, err = call("fetch", "-t", "there/rte", "--manifest", str(manifest))
    assert code == 2
    assert "manifest, line 1: not a SHA-256, two spaces and a path: no digest" in err
    assert call("fetch", "-t", "there/rte", "--manifest", "nowhere")[0] == 2
