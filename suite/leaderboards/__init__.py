"""Pages, plots and tables: a pure function of results and registry, the same bytes every time."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.console import say, shown
from suite.leaderboards import (
    explorer,
    export,
    findings,
    formats,
    index,
    markdown,
    methods_page,
    plot,
    searches_page,
)
from suite.leaderboards.aggregate import boards, boards_of, pools_of
from suite.leaderboards.board import Board
from suite.leaderboards.cached_parts import read_parts
from suite.registry.files import Unreadable, content
from suite.results import noise
from suite.results.claims import alone
from suite.results.files import LARGEST_BYTES, replace_file, warning_of
from suite.results.packing import is_packed, pack
from suite.results.records import Result
from suite.results.searches import Search, read_searches

if TYPE_CHECKING:
    from suite.registry import Registry

__all__ = ["build", "check", "export_to", "pages"]


def pages(
    results: Iterable[Result],
    registry: "Registry",
    found: Sequence[Search] = (),
    *,
    quoted: bool = True,
) -> dict[str, bytes]:
    """Every file of the leaderboards: path below their folder -> content.

    `found` are the searches for learning rates that the recipes rest on; `quoted`: with pages for
    boards of which there are published numbers alone.
    """
    every = boards(results, registry, noise.published())
    return _pages(every, registry, found, plot.render, quoted=quoted)


def _pages(
    every: Sequence[Board],
    registry: "Registry",
    found: Sequence[Search],
    draw: Callable[[Board], bytes | None],
    *,
    quoted: bool,
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    every = [board for board in every if quoted or board.rows or board.unsupported]
    for board in every:
        image = draw(board)
        if image:
            files[f"plots/{board.name}.svg"] = image
        page = markdown.render(board, plot=f"plots/{board.name}.svg" if image else None)
        files[f"{board.name}.md"] = page.encode()
        if board.rows or board.published:
            files[f"{export.FOLDER}/{board.name}.csv"] = export.table(board)
    entries = {row.method: row.entry for board in every for row in board.rows if row.entry}
    if entries:
        files[methods_page.NAME] = methods_page.render([*entries.values()]).encode()
    if pools := [pool for board in every for pool in pools_of(board)]:
        files[noise.NAME] = noise.written(pools)
    if any(board.rows for board in every):
        files[explorer.NAME] = explorer.render(every)
    taught = findings.findings(every, found)
    answered = any(each.rows for each in taught)
    if answered:
        files[findings.NAME] = findings.render(taught).encode()
    methods = [*registry.methods]
    files["README.md"] = index.render(every, methods, found, answered=answered).encode()
    if found:
        files[searches_page.NAME] = searches_page.render(found).encode()
    return files


def build(out: Path, registry: "Registry") -> list[Path]:
    """Write the leaderboards of an output folder into it; returns the files, sorted.

    In a folder that keeps packs, new results are packed first, and published numbers have pages
    where nothing was measured. Generated pages that no longer
    belong to any result are removed, with their plots; other files stay, and a page that
    somebody has written himself is not replaced by one of that name.
    """
    # Of several processes, the last one to write has then read what all of them have computed.
    with alone(out, "pages"):
        every, searches, draw = _read(out, registry)
        # Only after reading, which refuses to choose between the sides of a merge.
        if is_packed(out):
            pack(out)
        files = _pages(every, registry, searches, draw, quoted=is_packed(out))
        for name in _stale(out, files):
            (out / name).unlink()
        own = [name for name in files if _is_anothers(out / name)]
        for name in own:
            say(f"{shown(out / name)} is not a page of the suite, and stays as it is")
        for name, page in files.items():
            if name not in own:
                replace_file(out / name, page)
    return sorted(out / name for name in files if name not in own)


def check(out: Path, registry: "Registry") -> list[str]:
    """The files below `out` that do not follow from the results: changed, missing or left over."""
    every, searches, draw = _read(out, registry, anew=True)
    files = _pages(every, registry, searches, draw, quoted=is_packed(out))
    different = [
        name
        for name, page in files.items()
        if not (out / name).is_file() or (out / name).read_bytes() != page
    ]
    return sorted([*different, *_stale(out, files)])


def export_to(path: Path, out: Path, registry: "Registry") -> None:
    """Write the rows of all boards of an output folder to one file, CSV or parquet by its ending.

    Raises `UserError` for another ending, and if the file cannot be written.
    """
    export.require_ending(path)
    every, *_ = _read(out, registry)
    export.write([b for b in every if is_packed(out) or b.rows], path)


def _read(
    out: Path, registry: "Registry", *, anew: bool = False
) -> tuple[list[Board], Sequence[Search], Callable[[Board], bytes | None]]:
    """The boards and searches of an output folder, and what draws the boards; files that are
    neither results nor searches are named on stderr. `anew`: from the results alone, whatever is
    kept of an earlier time."""
    found, searches = read_parts(out, registry, anew=anew), read_searches(out)
    for warning in (warning_of(found.left_out), warning_of(searches.left_out, "search")):
        if warning:
            say(warning)
    return boards_of(found.parts, registry, noise.published()), searches.found, found.draw


def _is_anothers(page: Path) -> bool:
    """Whether a page has another origin than the suite."""
    if page.suffix not in (".md", ".html") or page.is_dir():
        return False
    try:
        begin = content(page, LARGEST_BYTES, "pages")[:1000]
    except FileNotFoundError:
        return False
    except (OSError, Unreadable):
        return True
    return formats.MARK.encode() not in begin


def _stale(out: Path, files: dict[str, bytes]) -> list[str]:
    mark = formats.MARK.encode()
    pages = [
        path.stem
        for path in sorted(out.glob("*.md"))
        if path.is_file() and path.read_bytes().startswith(mark)
    ]
    # A page that stays may have lost its plot.
    every = [
        name
        for stem in pages
        for name in (f"{stem}.md", f"plots/{stem}.svg", f"{export.FOLDER}/{stem}.csv")
    ]
    return [name for name in every if name not in files and (out / name).is_file()]
