"""The results of an output folder in shares, one for each method and backbone, read when asked for.

What a share holds is known from the names of files and the beginnings of lines, and whether it has
changed from their versions: in a folder of a hundred thousand results, one that is new is found
without reading the others.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from suite.results.files import NoResult
from suite.results.folder import SINGLES, Results, read_single, single_versions, together
from suite.results.packs import Pack, pack_paths, read_pack
from suite.results.records import Result


class Moved(Exception):
    """A result is no longer where it was: another process has packed it since."""


@dataclass
class Share:
    """The files and lines with the results of one method on one backbone, or what is no result."""

    name: str
    folder: Path
    """That of the files of single results."""
    singles: list[str] = field(default_factory=list)
    """The names of files."""
    lines: list[tuple[Pack, str]] = field(default_factory=list)
    _state: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __len__(self) -> int:
        return len(self.singles) + len(self.lines)

    @property
    def method(self) -> str:
        """The method whose results it holds."""
        return self.name.partition(" ")[0].partition(".")[2]

    @property
    def state(self) -> str:
        """Another one if anything in it is added, changed or removed."""
        return self._state.hexdigest()

    def add_file(self, name: str, version: tuple[int, ...]) -> None:
        """Add a file of its name and version."""
        self.singles.append(name)
        # A name may hold bytes that are no text.
        self._state.update(f"{name}\0{version}\n".encode(errors="surrogateescape"))

    def add_line(self, pack: Pack, line: str, values: str = "") -> None:
        """Add a line of a pack; `values` tells which values the pack has for lines to share."""
        self.lines.append((pack, line))
        self._state.update(f"{pack.path.name}\0{values}\0{_digest(line)}\n".encode())

    def read(self) -> Results[Result]:
        """Its results; raises `Moved` if one is gone."""
        left_out: list[NoResult] = []
        singles = []
        for name in self.singles:
            try:
                singles.append(read_single(self.folder / name, Result))
            except FileNotFoundError:
                raise Moved(name) from None
            except NoResult as reason:
                left_out.append(reason)
        return together(singles, self.lines, Result, left_out)


def shares(out: Path) -> list[Share]:
    """Every share of an output folder, in the order of their names."""
    found: dict[str, Share] = {}

    def share(name: str) -> Share:
        if name not in found:
            found[name] = Share(name, out / SINGLES)
        return found[name]

    # Packs are read last, as in `read_results`.
    for name, version in single_versions(out):
        share(share_of_file(name)).add_file(name, version)
    for path in pack_paths(out):
        pack = read_pack(path)
        # A line says what it shares with others by digests: the values must be there, too.
        values = _digest("\n".join(sorted(pack.shared.values())))
        for cell, line in pack.cells.items():
            share(share_of_cell(cell)).add_line(pack, line, values)
        for line in pack.foreign:
            share("").add_line(pack, line)
    return [found[name] for name in sorted(found)]


def share_of_file(name: str) -> str:
    """The name of the share of a file called `SCALE.METHOD[SETTING].TRACK-TASKS.BACKBONE.sN.json`;
    some name for any other."""
    scale, _, rest = name.partition(".")
    method = rest.partition(".")[0].partition("[")[0]
    backbone = name.rpartition(".s")[0].rpartition(".")[2]
    return f"{scale}.{method} {backbone}"


def share_of_cell(text: str) -> str:
    """The same for a cell as JSON."""
    cell = json.loads(text)
    try:
        # As from the name of a file, which does not tell where a backbone's begins.
        return f"{cell['scale']}.{cell['method']} {cell['backbone'].rpartition('.')[2]}"
    except (LookupError, TypeError, AttributeError):
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
