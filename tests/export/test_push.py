"""`push` sends an exported folder to the named repository, and nothing else to anywhere."""

import shutil
from functools import partial
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

from suite.cli.main import main
from suite.export import hub
from suite.export.card import MARK


class LocalHub:
    """A hub whose repositories are folders."""

    def __init__(self, root):
        self.root = root
        self.private = {}

    def create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        self.private[repo_id] = private

    def upload_folder(self, *, repo_id, folder_path):
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return SimpleNamespace(commit_url=f"local/{repo_id}/commit/1")


@pytest.fixture
def local(tmp_path, monkeypatch):
    made = LocalHub(tmp_path / "hub")
    monkeypatch.setattr(hub, "HfApi", lambda: made)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    return made


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exported"
    made.mkdir()
    (made / "README.md").write_text(f"---\n---\n{MARK}\n")
    (made / "model.pt2").write_bytes(b"weights")
    return made


def test_a_folder_arrives_whole(local, folder, capsys):
    assert main(["push", str(folder), "--repo", "me/mine", "--private"]) == 0
    assert capsys.readouterr().out == "local/me/mine/commit/1\n"
    arrived = {path.name: path.read_bytes() for path in (local.root / "me/mine").iterdir()}
    assert arrived == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert local.private == {"me/mine": True}


def test_without_a_repository_nothing_is_sent(local, folder, capsys):
    assert main(["push", str(folder)]) == 2
    assert "--repo" in capsys.readouterr().err
    assert not local.root.exists()


@pytest.mark.parametrize(
    ("page", "repository", "token", "said"),
    [
        ("# Mine", "me/mine", "hf_x", "is no folder that 'export' wrote"),
        (MARK, "mine", "hf_x", "a repository is USER/NAME"),
        (MARK, "me/mine", "", "HF_TOKEN"),
    ],
)
def test_what_is_not_meant_for_the_hub_is_not_sent(
    local, folder, monkeypatch, capsys, page, repository, token, said
):
    (folder / "README.md").write_text(page)
    monkeypatch.setattr(hub, "get_token", lambda: token or None)
    assert main(["push", str(folder), "--repo", repository]) == 2
    assert said in capsys.readouterr().err
    assert not local.root.exists()


def test_a_hub_that_does_not_answer_is_one_message(folder, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setattr(hub, "HfApi", partial(HfApi, endpoint="http://127.0.0.1:9"))
    assert main(["push", str(folder), "--repo", "me/mine"]) == 2
    assert capsys.readouterr().err.startswith("error: --repo me/mine: ")
