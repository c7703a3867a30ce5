"""Bring data and weights that are missing from the hub into its own cache, and check what is there.

What the hub says of a file's content, its SHA-256 or, for small ones, what git calls it, is
compared with the file; one that is damaged is named, removed and fetched again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from suite.console import say
from suite.planning.fingerprint import file_digest
from suite.planning.locate import HubFiles, Missing, Snapshot

ATTEMPTS = 2
"""How often a repository is fetched if files arrive damaged."""
SHA256_DIGITS = 64


def bring(missing: Iterable[Missing]) -> bool:
    """Download what the hub has of it; returns whether anything arrived."""
    if _offline():
        return False
    came = [_download(hub) for hub in dict.fromkeys(item.hub for item in missing if item.hub)]
    return any(came)


def mend(snapshots: Iterable[Snapshot]) -> bool:
    """Fetch again what lies damaged in the hub's cache; returns whether anything was damaged.

    What cannot be compared is said; with HF_HUB_OFFLINE nothing is compared.
    """
    if _offline():
        return False
    damaged = [each for each in dict.fromkeys(snapshots) if _remove_damaged(each)]
    for snapshot in damaged:
        _download(snapshot.hub)
    return bool(damaged)


def _download(hub: HubFiles) -> bool:
    from huggingface_hub import snapshot_download

    say(f"fetching {hub.kind} {hub.repository} from the hub")
    try:
        for _ in range(ATTEMPTS):
            folder = snapshot_download(
                hub.repository,
                repo_type=hub.kind,
                revision=hub.revision,
                allow_patterns=list(hub.patterns),
            )
            if not _remove_damaged(Snapshot(hub, Path(folder))):
                return True
    except _errors() as error:
        # No network, no such repository, no permission, no space: what is missing stays missing.
        say(f"could not fetch {hub.repository}: {_first_line(error)}")
        return False
    say(f"could not fetch {hub.repository}: it arrived damaged {ATTEMPTS} times")
    return False


def _remove_damaged(snapshot: Snapshot) -> bool:
    """Name and remove files whose content is not that of the hub; returns whether there was one."""
    try:
        contents = dict(_contents(snapshot))
    except _errors() as error:
        say(f"{snapshot.hub.repository} was not compared with the hub: {_first_line(error)}")
        return False
    damaged = False
    for name, expected in contents.items():
        path = snapshot.folder / name
        if not path.is_file() or _content(path, expected) == expected:
            continue
        damaged = True
        kind = "SHA-256" if len(expected) == SHA256_DIGITS else "git hash"
        say(
            f"{snapshot.hub.repository}: {name} is damaged, its {kind} is "
            f"{_content(path, expected)} and not {expected}: removed, to be fetched again"
        )
        path.resolve().unlink()  # The cache keeps contents apart, and links to them.
        path.unlink(missing_ok=True)
    return damaged


def _contents(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Every file that is wanted of a commit, by its name in the repository, and the SHA-256 or the
    name of its content in git."""
    from huggingface_hub import HfApi

    info = HfApi().repo_info(
        snapshot.hub.repository,
        repo_type=snapshot.hub.kind,
        revision=snapshot.folder.name,
        files_metadata=True,
    )
    for file in getattr(info, "siblings", None) or ():
        expected = file.lfs.sha256 if file.lfs else file.blob_id
        wanted = any(fnmatch(file.rfilename, pattern) for pattern in snapshot.hub.patterns)
        if expected and wanted:
            yield file.rfilename, expected


def _content(path: Path, like: str) -> str:
    """What identifies a file's content, in the form of `like`."""
    if len(like) == SHA256_DIGITS:
        return file_digest(path)
    content = path.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises: OSError, and the errors of its HTTP library, whichever that is,
    from which its own derive."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
