"""An exported folder to a repository on the hub."""

from pathlib import Path

from huggingface_hub import HfApi, get_token

# That of the hub's own client, which is another library from version to version.
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from suite.console import shown
from suite.errors import UserError
from suite.export.card import MARK


def push(folder: Path, repository: str, *, private: bool) -> str:
    """Send a folder that `export` wrote to `USER/NAME`, which is made if it does not exist; the
    address of the commit.

    The token is the hub's own: `HF_TOKEN`, or what `hf auth login` keeps. Raises `UserError` for
    any other folder, without a token, and with what the hub says if it refuses.
    """
    page = folder / "README.md"
    if not page.is_file() or MARK not in page.read_text().splitlines():
        raise UserError(f"{shown(folder)}: is no folder that 'export' wrote")
    if repository.count("/") != 1:
        raise UserError(f"--repo {repository}: a repository is USER/NAME")
    if get_token() is None:
        raise UserError("the hub wants a token: set HF_TOKEN, or log in with: hf auth login")
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repository, folder_path=folder)
    except (HTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--repo {repository}: {reason[:300]}") from None
    return str(commit.commit_url)
