import os
from pathlib import Path

import pytest
from registries import write_registry

from suite.errors import UserError
from suite.planning import locate
from suite.planning.locate import (
    DatasetFiles,
    HubFiles,
    Missing,
    Model,
    locate_dataset,
    locate_model,
)
from suite.registry import load
from suite.registry.schema import BackboneEntry, HubSource, Scale, TaskEntry


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """No data, an empty hub cache, and no network to ask."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUITE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("SUITE_DATA", str(folder))
    return folder


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def task(tmp_path: Path, **source: object) -> TaskEntry:
    entry = load(write_registry(tmp_path / "registry")).tasks["toy/first"]
    values = {"hub": "owner/set", "config": "rte", "split_rule": "halve_validation"}
    full = HubSource(**{**values, **source})
    return entry.model_copy(update={"sources": entry.sources.model_copy(update={"full": full})})


def model(tmp_path: Path, **source: object) -> BackboneEntry:
    entry = load(write_registry(tmp_path / "registry")).backbones["bert_toy"]
    source = entry.source.model_copy(update={"id": "owner/bert", **source})
    return entry.model_copy(update={"scale": Scale.FULL, "source": source})


def write_splits(folder: Path, *names: str) -> None:
    for name in names:
        write(folder / f"{name}-00000-of-00001.parquet", name)


def test_a_data_set_lies_in_the_folder_that_suite_data_names(tmp_path, data):
    write_splits(data / "datasets/owner/set/rte", "train", "validation")
    found = locate_dataset(task(tmp_path))
    assert isinstance(found, DatasetFiles)
    assert found.origin == "SUITE_DATA"
    assert [path.name for path in found.splits["train"]] == ["train-00000-of-00001.parquet"]
    assert set(found.splits) == {"train", "validation"}


def test_splits_are_named_by_the_task(tmp_path, data):
    write_splits(data / "datasets/owner/set/rte", "train", "validation_matched")
    splits = {"validation": "validation_matched"}
    found = locate_dataset(task(tmp_path, splits=splits))
    assert found.splits["validation"][0].name.startswith("validation_matched-")


def test_the_fingerprint_is_that_of_the_contents(tmp_path, data):
    folder = data / "datasets/owner/set/rte"
    write_splits(folder, "train", "validation", "test")
    before = locate_dataset(task(tmp_path)).fingerprint
    write(folder / "test-00000-of-00001.parquet", "a split that the task does not read")
    assert locate_dataset(task(tmp_path)).fingerprint == before
    write(folder / "train-00000-of-00001.parquet", "other rows")
    assert locate_dataset(task(tmp_path)).fingerprint != before


def test_a_split_with_a_missing_shard_is_missing(tmp_path, data):
    folder = data / "datasets/owner/set/rte"
    write_splits(folder, "validation")
    write(folder / "train-00000-of-00002.parquet")
    found = locate_dataset(task(tmp_path))
    assert isinstance(found, Missing)
    assert f"{folder} (lacks train; there is train-00000-of-00002.parquet)" in found.looked


def test_what_is_missing_names_every_place_and_the_remedy(tmp_path, data):
    found = locate_dataset(task(tmp_path))
    assert isinstance(found, Missing)
    text = str(found)
    assert "data set owner/set (rte) of task toy/first not found" in text
    assert str(data / "datasets/owner/set/rte") in text
    assert f"the hub's cache {tmp_path / 'hub'}" in text
    assert "python -m suite fetch --tasks toy/first" in text
    assert found.hub == HubFiles(
        "dataset", "owner/set", None, ("rte/train-*.parquet", "rte/validation-*.parquet")
    )


def test_without_suite_data_the_message_says_so(tmp_path):
    place = "$SUITE_DATA/datasets/owner/set/rte (SUITE_DATA is not set)"
    assert place in str(locate_dataset(task(tmp_path)))
    place = "$SUITE_DATA/models/owner/bert (SUITE_DATA is not set)"
    assert place in str(locate_model(model(tmp_path)))


def test_what_the_hub_has_not_must_be_put_there_by_hand(tmp_path, data):
    found = locate_dataset(task(tmp_path, local_only=True))
    assert isinstance(found, Missing)
    assert found.hub is None
    assert "$SUITE_DATA/datasets/owner/set/rte/SPLIT-00000-of-00001.parquet by hand" in str(found)
    assert "hub's cache" not in str(found)


def cache(tmp_path: Path, repository: str, *files: str) -> Path:
    """Put files into the hub's cache as a download of revision `main` leaves them."""
    folder = tmp_path / "hub" / repository
    write(folder / "refs" / "main", "c0ffee")
    for name in files:
        write(folder / "snapshots" / "c0ffee" / name)
    return folder / "snapshots" / "c0ffee"


def test_a_data_set_in_the_hub_cache_is_identified_by_its_revision(tmp_path, monkeypatch):
    folder = cache(
        tmp_path,
        "datasets--owner--set",
        "rte/train-00000-of-00001.parquet",
        "rte/validation-00000-of-00001.parquet",
    )
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *_, **__: str(folder), raising=True
    )
    found = locate_dataset(task(tmp_path))
    assert isinstance(found, DatasetFiles)
    assert (found.origin, found.fingerprint) == ("hub cache", "owner/set@c0ffee")


def test_suite_data_comes_before_the_hub_cache(tmp_path, data, monkeypatch):
    folder = cache(tmp_path, "models--owner--bert", "model.safetensors", "config.json")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    assert locate_model(model(tmp_path)).fingerprint == "owner/bert@c0ffee"
    write(data / "models/owner/bert/model.safetensors")
    write(data / "models/owner/bert/config.json")
    found = locate_model(model(tmp_path))
    assert isinstance(found, Model)
    assert (found.origin, found.folder) == ("SUITE_DATA", data / "models/owner/bert")


def test_a_model_is_its_weights_configuration_and_tokenizer(tmp_path, data):
    folder = data / "models/owner/bert"
    write(folder / "model.safetensors")
    write(folder / "config.json")
    before = locate_model(model(tmp_path)).fingerprint
    write(folder / "README.md")
    assert locate_model(model(tmp_path)).fingerprint == before
    write(folder / "vocab.txt")
    assert locate_model(model(tmp_path)).fingerprint != before


def test_weights_that_could_run_code_are_no_weights(tmp_path, data):
    write(data / "models/owner/bert/pytorch_model.bin")
    write(data / "models/owner/bert/config.json")
    found = locate_model(model(tmp_path))
    assert "(lacks weights (*.safetensors))" in str(found)


@pytest.mark.parametrize("name", ["../secrets", "/etc", "a/../../b", "a//b", "~root", ""])
def test_a_name_cannot_leave_its_folder(tmp_path, data, name):
    with pytest.raises(UserError, match="not a plain relative name"):
        locate_dataset(task(tmp_path, hub=name))
    with pytest.raises(UserError, match="not a plain relative name"):
        locate_dataset(task(tmp_path, config=name))
    with pytest.raises(UserError, match="not a plain relative name"):
        locate_model(model(tmp_path, id=name))


def test_files_are_hashed_once_across_processes(tmp_path, monkeypatch):
    import os

    from suite.planning import fingerprint

    path = write(tmp_path / "weights")
    os.utime(path, (1, 1))
    monkeypatch.setattr(fingerprint, "_memory", {})
    fingerprint._remembered.cache_clear()
    digest = fingerprint.file_digest(path)
    fingerprint.remember()
    monkeypatch.setattr(fingerprint, "_memory", {})
    fingerprint._remembered.cache_clear()
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("hashed again"))
    assert fingerprint.file_digest(path) == digest
    fingerprint._remembered.cache_clear()


def test_a_file_that_changed_is_hashed_again(tmp_path):
    from suite.planning.fingerprint import file_digest

    path = write(tmp_path / "weights", "one")
    before = file_digest(path)
    write(path, "two, and longer")
    assert file_digest(path) != before


def test_every_backbone_of_the_catalogue_has_a_place(tmp_path):
    for entry in load(write_registry(tmp_path / "registry")).backbones.values():
        found = locate_model(entry)
        assert isinstance(found, Model | Missing)
        if isinstance(found, Missing) and entry.scale is Scale.FULL:
            assert (found.hub is None) == entry.source.local_only
    assert locate.EMBEDDED.is_dir()


def test_of_several_folders_the_first_that_has_something_wins(tmp_path, monkeypatch):
    first, second = tmp_path / "one", tmp_path / "two"
    monkeypatch.setenv("SUITE_DATA", f"{first}{os.pathsep}{second}")
    entry = load().backbones["bert_base"]
    missing = locate_model(entry)
    assert isinstance(missing, Missing)
    assert all(str(root / "models") in str(missing) for root in (first, second))
    for root in (second, first):
        folder = root / "models" / entry.source.id
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("weights")
        (folder / "config.json").write_text("{}")
        assert locate_model(entry).folder == folder
