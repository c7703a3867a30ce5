"""Pages, plots and tables: a pure function of results and registry, the same bytes every time."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.console import say
from suite.leaderboards import explorer, index, markdown, methods_page, plot, searches_page
from suite.leaderboards.aggregate import boards, pools_of
from suite.results import noise
from suite.results.folder import read_results
from suite.results.packing import is_packed, pack
from suite.results.records import Result, replace_file
from suite.results.searches import Search, read_searches

if TYPE_CHECKING:
    from suite.registry import Registry

__all__ = ["build", "check", "pages"]


def pages(
    results: Iterable[Result], registry: "Registry", found: Sequence[Search] = ()
) -> dict[str, bytes]:
    """Every file of the leaderboards: path below their folder -> content.

    `found` are the searches for learning rates that the recipes rest on.
    """
    files: dict[str, bytes] = {}
    every = boards(results, registry, noise.published())
    for board in every:
        image = plot.render(board)
        if image:
            files[f"plots/{board.name}.svg"] = image
        page = markdown.render(board, plot=f"plots/{board.name}.svg" if image else None)
        files[f"{board.name}.md"] = page.encode()
    entries = {row.method: row.entry for board in every for row in board.rows if row.entry}
    if entries:
        files[methods_page.NAME] = methods_page.render([*entries.values()]).encode()
    if pools := [pool for board in every for pool in pools_of(board)]:
        files[noise.NAME] = noise.written(pools)
    if any(board.rows for board in every):
        files[explorer.NAME] = explorer.render(every)
    files["README.md"] = index.render(every, searched=bool(found)).encode()
    if found:
        files[searches_page.NAME] = searches_page.render(found).encode()
    return files


def build(out: Path, registry: "Registry") -> list[Path]:
    """Write the leaderboards of an output folder into it; returns the files, sorted.

    In a folder that keeps packs, new results are packed first. Pages that no result asks for any
    more are removed, with their plots; only generated ones.
    """
    results, searches = _read(out)
    # Only after reading, which refuses to choose between the sides of a merge.
    if is_packed(out):
        pack(out)
    files = pages(results, registry, searches)
    for name in _stale(out, files):
        (out / name).unlink()
    for name, content in files.items():
        replace_file(out / name, content)
    return sorted(out / name for name in files)


def check(out: Path, registry: "Registry") -> list[str]:
    """The files below `out` that are not what the results give: changed, missing or left over."""
    results, searches = _read(out)
    files = pages(results, registry, searches)
    different = [
        name
        for name, content in files.items()
        if not (out / name).is_file() or (out / name).read_bytes() != content
    ]
    return sorted([*different, *_stale(out, files)])


def _read(out: Path) -> tuple[list[Result], list[Search]]:
    """What an output folder holds; what is no result is named on stderr."""
    results = read_results(out)
    if results.warning:
        say(results.warning)
    return [*results.values()], read_searches(out)


def _stale(out: Path, files: dict[str, bytes]) -> list[str]:
    mark = markdown.MARK.encode()
    left_over = [
        path.stem
        for path in sorted(out.glob("*.md"))
        if path.name not in files and path.read_bytes().startswith(mark)
    ]
    plots = [f"plots/{stem}.svg" for stem in left_over if (out / f"plots/{stem}.svg").is_file()]
    return [*(f"{stem}.md" for stem in left_over), *plots]
