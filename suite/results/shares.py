"""The results of an output folder in shares, one for each method and backbone, read when asked for.

What a share holds is known from the names of files and the beginnings of lines, and whether it has
changed from their versions: in a folder of a hundred thousand results, one that is new is found
without reading the others.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from suite.results.folder import Results, file_version, read_single, single_paths, together
from suite.results.packs import Pack, pack_paths, read_pack
from suite.results.records import NoResult, Result


class Moved(Exception):
    """A result is no longer where it was: another process has packed it since."""


@dataclass
class Share:
    """The files and lines with the results of one method on one backbone, or what is no result."""

    name: str
    singles: list[Path] = field(default_factory=list)
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

    def add(self, item: Path | tuple[Pack, str], version: str) -> None:
        """Add a file or a line."""
        if isinstance(item, Path):
            self.singles.append(item)
        else:
            self.lines.append(item)
        self._state.update(f"{version}\n".encode())

    def read(self) -> Results[Result]:
        """Its results; raises `Moved` if one is gone."""
        left_out: list[NoResult] = []
        singles = []
        for path in self.singles:
            try:
                singles.append(read_single(path, Result))
            except FileNotFoundError:
                raise Moved(path) from None
            except NoResult as reason:
                left_out.append(reason)
        return together(singles, self.lines, Result, left_out)


def shares(out: Path) -> list[Share]:
    """Every share of an output folder, in the order of their names."""
    found: dict[str, Share] = {}

    def share(name: str) -> Share:
        return found.setdefault(name, Share(name))

    # Packs are read last, as in `read_results`.
    for path in single_paths(out):
        share(share_of_file(path.name)).add(path, f"{path.name}\0{file_version(path)}")
    for path in pack_paths(out):
        pack = read_pack(path)
        # A line says what it shares with others by digests: the values must be there, too.
        values = _digest("\n".join(sorted(pack.shared.values())))
        for cell, line in pack.cells.items():
            share(share_of_cell(cell)).add((pack, line), f"{path.name}\0{values}\0{_digest(line)}")
        for line in pack.foreign:
            share("").add((pack, line), _digest(line))
    return [found[name] for name in sorted(found)]


def share_of_file(name: str) -> str:
    """The name of the share of a file called `SCALE.METHOD[SETTING].TRACK-TASKS.BACKBONE.sN.json`;
    some name for any other."""
    begin = re.match(r"[^.]*\.[^.\[]*", name)
    backbone = name.rpartition(".s")[0].rpartition(".")[2]
    return f"{begin[0] if begin else ''} {backbone}"


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
