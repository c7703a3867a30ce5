"""Claims: which process computes a cell, so that any number of processes share one folder.

A claim is a small file beside the result that it is for. Making it under a name that does not exist
is one operation of the file system, of which one process alone succeeds; whoever has made it looks
for the result only then, and removes it when the result is there or it gives up. Its owner touches
it as long as it lives. An owner is dead if its process is gone, or, on another machine, if it has
not touched its claim for the length of a lease.

The claim of a dead owner is not replaced: two processes that both found it dead could then replace
each other's. Its successor adds a file that is named by the dead one's token, which again only one
can; the owner is the last of the chain, `CELL.claim`, `TOKEN.claim`, ...
"""

import contextlib
import errno
import hashlib
import os
import secrets
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from suite.console import shown
from suite.errors import UserError

SUFFIX = ".claim"
LEASE_SECONDS = 120.0
"""For how long a claim that nobody touches is valid on another machine."""
RENEWALS = 6
"""How often a claim is touched within a lease."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer."""


class Owner(BaseModel):
    """Who has a claim."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    token: str
    """Of this claim alone."""
    host: str
    machine: str
    """Where numbers of processes mean the same: a machine since it started, or one container."""
    process: int
    started: str
    """When the process did, in the system's own unit; empty where that is not known."""
    since: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@dataclass(frozen=True)
class Claim:
    """A claim that this process has, or had."""

    path: Path
    """The first file of the chain, whoever made it."""
    own: Path
    """The file that this process made."""
    token: str
    after: Owner | None = None
    """The dead owner from whom it was taken over."""

    def is_held(self) -> bool:
        """Whether it is still this process's; another takes it if it was not touched for long."""
        chain = _chain(self.path)
        return bool(chain) and chain[-1].owner.token == self.token


@dataclass(frozen=True)
class _Link:
    path: Path
    owner: Owner
    touched: float


class Claims:
    """The claims of one process in one folder; they are renewed inside `with` and dropped at its
    end."""

    def __init__(self, folder: Path, lease: float = LEASE_SECONDS) -> None:
        self.folder = folder
        self.lease = lease
        self._held: dict[str, Claim] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._clock: tuple[float, float] | None = None

    def __enter__(self) -> "Claims":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        for claim in [*self._held.values()]:
            self.release(claim)

    def take(self, name: str) -> Claim | Owner:
        """Claim `name`; if another process that lives has it, its owner.

        Raises `UserError` if nothing can be written to the folder.
        """
        path = self.folder / f"{name}{SUFFIX}"
        mine = _owner()
        try:
            while True:
                chain = _chain(path)
                if chain and not self._is_dead(chain[-1]):
                    return chain[-1].owner
                own = _successor(chain[-1]) if chain else path
                if not _make(own, mine.model_dump_json().encode()):
                    continue  # another process was faster
                claim = Claim(path, own, mine.token, chain[-1].owner if chain else None)
                if claim.is_held():
                    break
                # The chain was removed meanwhile: its last owner came to an end.
                own.unlink(missing_ok=True)
            _refresh(self.folder)
        except OSError as error:
            raise UserError(f"{shown(path)}: cannot be written ({error.strerror})") from None
        self._held[claim.token] = claim
        return claim

    def release(self, claim: Claim) -> None:
        """Give a claim up: the result is there, or this process does not compute it any more."""
        self._held.pop(claim.token, None)
        with contextlib.suppress(OSError):
            chain = _chain(claim.path)
            if not chain or chain[-1].owner.token != claim.token:
                return
            # From the first on: what is left of a chain without its first file claims nothing.
            for link in chain:
                link.path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the claims of processes that ended between their result and its release."""
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
        for name in names:
            with contextlib.suppress(OSError):
                chain = _chain(self.folder / name)
                if chain and self._is_dead(chain[-1]):
                    taken = self.take(name.removesuffix(SUFFIX))
                    if isinstance(taken, Claim):
                        self.release(taken)

    def _renew(self) -> None:
        while not self._ended.wait(self.lease / RENEWALS):
            for claim in [*self._held.values()]:
                # A file server that does not answer now may do so the next time.
                with contextlib.suppress(OSError):
                    _touch(claim)

    def _is_dead(self, link: _Link) -> bool:
        if link.owner.machine == _machine():
            return _is_gone(link.owner)
        return self._now() - link.touched > self.lease

    def _now(self) -> float:
        """The time of the folder's file server, which is not always that of this machine."""
        here = time.monotonic()
        if self._clock is None or here - self._clock[0] > self.lease:
            self._clock = here, folder_time(self.folder)
        return self._clock[1] + here - self._clock[0]


@contextlib.contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Wait until no other process is inside the same `alone`, and keep others waiting meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be written ({error.strerror})") from None
    with Claims(folder) as claims:
        while isinstance(claims.take(name), Owner):
            time.sleep(0.1)
        yield


def folder_time(folder: Path) -> float:
    """Now, in seconds, by the clock that stamps the files of a folder."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _chain(path: Path) -> list[_Link]:
    """The claims from the first file on; the last one is valid, if its owner lives."""
    chain: list[_Link] = []
    while link := _read(path if not chain else _successor(chain[-1])):
        chain.append(link)
    return chain


def _successor(link: _Link) -> Path:
    return link.path.with_name(f"{link.owner.token}{SUFFIX}")


def _read(path: Path) -> _Link | None:
    try:
        # Opened even for its times: only that asks a file server whether they have changed.
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        return None
    try:
        owner = Owner.model_validate_json(content)
    except ValidationError:
        # Not yet written, or never, on a file system without hard links: valid for a lease.
        token = hashlib.sha256(f"{path.name} {status.st_ino}".encode()).hexdigest()[:16]
        owner = Owner(token=token, host="?", machine="", process=0, started="", since="?")
    return _Link(path, owner, status.st_mtime)


def _make(path: Path, content: bytes) -> bool:
    """Make a file with its content in one step; False if there is one already."""
    part = path.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        with part.open("xb") as file:
            file.write(content)
        try:
            os.link(part, path)
        except FileExistsError:
            # A file server may have made the link and lost its answer.
            return part.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _make_without_link(path, content)
        return True
    finally:
        part.unlink(missing_ok=True)


def _make_without_link(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _touch(claim: Claim) -> None:
    file = os.open(claim.own, os.O_RDONLY)
    try:
        # By the open file: another of the same name is not this process's to keep alive.
        if claim.token.encode() in os.read(file, 4096):
            os.utime(file)
    finally:
        os.close(file)


def _refresh(folder: Path) -> None:
    """Let a client of a file server forget what it believes not to exist in a folder."""
    os.close(os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)))


def _owner() -> Owner:
    return Owner(
        token=secrets.token_hex(8),
        host=socket.gethostname(),
        machine=_machine(),
        process=os.getpid(),
        started=_status_of(os.getpid())[1],
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def _machine() -> str:
    """Names the processes among which a number names one: those of a container, or of a machine
    until it starts again. Two machines may well have one host name."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    # Not Linux.
    return f"{socket.gethostname()} {uuid.getnode():x}"


def _is_gone(owner: Owner) -> bool:
    """Whether a process of this machine has ended, even if its parent has not taken note of it."""
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # another user's
    state, started = _status_of(owner.process)
    return state in ("Z", "X") or bool(started and owner.started and started != owner.started)


def _status_of(process: int) -> tuple[str, str]:
    """(state, time of start) of a process; both empty where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "", ""
    # The name, in brackets, may contain anything.
    values = text.rpartition(")")[2].split()
    return values[0], values[19]
