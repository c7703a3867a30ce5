"""A submission: results and their deltas in one zip file, which anybody can open and score again.

Unpacked it is an output folder, with packs below `data/` and deltas below `work/`. `manifest.json`
has the SHA-256 of every other member. The same results give the same bytes: members are sorted,
have no times and are not compressed, because deflate differs from version to version.
"""

import hashlib
import shutil
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from suite.console import shown
from suite.errors import UserError
from suite.registry import Registry
from suite.registry.loader import own_registry
from suite.registry.schema import FileEntry, MethodEntry, TaskEntry
from suite.results.files import replacing
from suite.results.folder import WORK, delta_path
from suite.results.packs import FOLDER, lines_of, merged, pack_name
from suite.results.records import Record, Result

MANIFEST = "manifest.json"
SUFFIX = ".zip"
_LARGEST_MANIFEST = 64 * 2**20


class Manifest(Record):
    """What a submission holds, and what it was measured with beside the package."""

    format: Literal["suite-submission-1"] = "suite-submission-1"
    members: dict[str, str]
    """Every other member -> SHA-256."""
    registry: dict[str, str]
    """Files of methods and tasks that do not come with the package -> SHA-256."""


def write(target: Path, results: Iterable[Result], out: Path, registry: Registry) -> Path:
    """Write results of the output folder `out`, each with its delta, to one file.

    A reader sees the old file or the whole new one. Raises `UserError` if it cannot be written.
    """
    results = list(results)
    packs: dict[str, list[str]] = defaultdict(list)
    for result in results:
        packs[pack_member(result)] += lines_of(result)
    texts = {
        name: "".join(f"{line}\n" for line in merged(lines)).encode()
        for name, lines in packs.items()
    }
    deltas = {delta_name(result): delta_path(out, result.cell) for result in results}
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    digests |= {name: digest(path) for name, path in deltas.items()}
    manifest = Manifest(
        members=dict(sorted(digests.items())), registry=foreign_files(results, registry)
    )
    texts[MANIFEST] = (manifest.model_dump_json(indent=1) + "\n").encode()
    with replacing(target) as file, zipfile.ZipFile(file, "w") as archive:
        for name in sorted({*texts, *deltas}):
            if name in texts:
                archive.writestr(_info(name, len(texts[name])), texts[name])
                continue
            info = _info(name, deltas[name].stat().st_size)
            with deltas[name].open("rb") as source, archive.open(info, "w") as member:
                shutil.copyfileobj(source, member)
    return target


def delta_name(result: Result) -> str:
    """The member that holds the delta of a result."""
    return delta_path(Path(), result.cell).as_posix()


def pack_member(result: Result) -> str:
    """The member that holds a result."""
    return f"{FOLDER}/{pack_name(result.cell.model_dump())}"


def unpack(path: Path, folder: Path) -> tuple[Manifest, list[str]]:
    """Unpack a submission into a folder; its manifest, and what contradicts that, in words.

    Members that contradict it are not unpacked. Raises `UserError` for a file that is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(path, archive)
            return manifest, [*_unpacked(archive, manifest, folder)]
    except FileNotFoundError:
        raise UserError(f"{shown(path)}: there is no such file") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{shown(path)}: no submission ({error})") from None


def foreign_files(results: Iterable[Result], registry: Registry) -> dict[str, str]:
    """SHA-256 of the files of the methods and tasks of these results that do not come with the
    package, by their paths in their registry."""
    found: dict[str, str] = {}
    for result in results:
        method = registry.methods.get(result.cell.method)
        names = [f"{result.cell.track}/{task}" for task in result.cell.tasks]
        tasks = [registry.tasks[name] for name in names if name in registry.tasks]
        for entry in [method, *tasks] if method else tasks:
            for file in _files(entry):
                folders = 2 if isinstance(entry, TaskEntry) else 1
                root = file.parents[folders]
                name = file.relative_to(root).as_posix()
                if root != own_registry() and name not in found:
                    found[name] = digest(file)
    return dict(sorted(found.items()))


def _files(entry: FileEntry) -> Iterator[Path]:
    yield entry.path
    if isinstance(entry, MethodEntry):
        yield entry.python_path
    elif isinstance(entry, TaskEntry) and entry.sources.mini:
        yield entry.path.parent / entry.sources.mini.python


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    infos = [info for info in archive.infolist() if info.filename == MANIFEST]
    if len(infos) != 1 or infos[0].file_size > _LARGEST_MANIFEST:
        raise UserError(f"{shown(path)}: no submission (it has no {MANIFEST})")
    try:
        return Manifest.model_validate_json(archive.read(infos[0]))
    except (ValidationError, RuntimeError, NotImplementedError, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{shown(path)}: {MANIFEST} cannot be read ({reason})") from None


def _unpacked(archive: zipfile.ZipFile, manifest: Manifest, folder: Path) -> Iterator[str]:
    """Unpack the members that are as the manifest says, and name the others."""
    infos: dict[str, list[zipfile.ZipInfo]] = defaultdict(list)
    for info in archive.infolist():
        infos[info.filename].append(info)
    for name in sorted({*infos, *manifest.members} - {MANIFEST}):
        if name not in infos:
            yield f"{name}: the manifest names it, but it is missing"
        elif name not in manifest.members:
            yield f"{name}: the manifest does not name it"
        elif len(infos[name]) > 1:
            yield f"{name}: there are {len(infos[name])} members of this name"
        elif not _is_inside(name):
            yield f"{name!r}: no name of a pack or a delta"
        elif infos[name][0].compress_type != zipfile.ZIP_STORED:
            # What is not compressed cannot become larger than the file that it came in.
            yield f"{name}: it is compressed; 'submit' writes members as they are"
        elif reason := _copied(archive, infos[name][0], manifest.members[name], folder / name):
            yield f"{name}: {reason}"


def _copied(archive: zipfile.ZipFile, info: zipfile.ZipInfo, expected: str, target: Path) -> str:
    """Copy a member to a file; why that was refused, or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(info) as member, target.open("wb") as file:
            shutil.copyfileobj(member, file)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError):
        target.unlink(missing_ok=True)
        return "it is damaged"
    if digest(target) != expected:
        target.unlink()
        return "it is not the file that was submitted: its SHA-256 is not that of the manifest"
    return ""


def _is_inside(name: str) -> bool:
    """Whether a member is a pack or a delta, and can leave no folder."""
    folder, *parts = name.split("/")
    plain = all(part not in ("", ".", "..") and "\\" not in part for part in parts)
    shape = {FOLDER: (1, ".jsonl"), WORK: (2, ".safetensors")}.get(folder)
    return plain and shape is not None and len(parts) == shape[0] and name.endswith(shape[1])


def _info(name: str, size: int) -> zipfile.ZipInfo:
    """A member without a time, the same on every system."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.file_size = 3, 0o644 << 16, size
    return info


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
