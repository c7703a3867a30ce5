"""The first page of the leaderboards: methods by backbones, one table per track and scale."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean

from suite.leaderboards import explorer, formats, methods_page, searches_page
from suite.leaderboards.board import Board, Row
from suite.leaderboards.markdown import MARK


def render(boards: Sequence[Board], *, searched: bool = False) -> str:
    """`README.md` of the leaderboards."""
    by_track: dict[tuple[str, str], list[Board]] = defaultdict(list)
    for board in boards:
        by_track[board.track.name, board.scale].append(board)
    sections = [
        f"{MARK}\n\n# Leaderboards",
        "Score @ stored ×: how well a method solves all tasks of a track, and how many backbones "
        "it stores beside the frozen one. Rows are sorted by their mean rank. Each column's page "
        "ranks the methods, says how sure the scores are and defines every number. **Bold**: not "
        "told apart from the best score of its column. *Italic*: not ranked, its page says why; "
        "`6/8` are tasks with a score. The `mini` scale is the embedded miniature of a track, and "
        "its scores compare with no published ones.",
    ]
    links = (
        [f"[What each method is and stores]({methods_page.NAME})"]
        if any(b.rows for b in boards)
        else []
    )
    if any(b.rows for b in boards):
        links.insert(0, f"[Explore them by hand]({explorer.NAME})")
    if searched:
        links.append(f"[How the learning rates were chosen]({searches_page.NAME})")
    if links:
        sections.append(" · ".join(links))
    for (track, scale), members in sorted(by_track.items()):
        if measured := [board for board in members if board.rows]:
            sections += [f"## {track}, {scale} scale", _table(measured)]
    if quoted := [board for board in boards if not board.rows]:
        lines = [
            f"- [{b.track.name} on {b.backbone}, {b.scale} scale]({b.name}.md)" for b in quoted
        ]
        sections += ["## Published results only", "\n".join(lines)]
    return "\n\n".join(sections) + "\n"


def _table(boards: Sequence[Board]) -> str:
    methods = sorted({row.label for board in boards for row in board.rows}, key=_order(boards))
    headers = ["method", *(f"[{board.backbone}]({board.name}.md)" for board in boards)]
    rows = []
    for method in methods:
        found = [{row.label: row for row in board.rows}.get(method) for board in boards]
        rows.append([method, *(_cell(row) if row else formats.NONE for row in found)])
    return formats.table(rows, headers)


def _cell(row: Row) -> str:
    if row.estimate is None or row.cost is None:
        return f"*{row.solved}/{len(row.tasks)}*"
    said = f"{row.score:.1f} @ {formats.stored(row.cost.stored_x)}"
    return f"*{said}*" if row.objections else f"**{said}**" if row.perhaps_best else said


def _order(boards: Sequence[Board]) -> Callable[[str], tuple[float, str]]:
    """By the mean, over the boards that rank a method, of the share of methods above it; methods
    that no board ranks come last."""
    shares: dict[str, list[float]] = defaultdict(list)
    for board in boards:
        for place, row in enumerate(board.ranked):
            shares[row.label].append(place / len(board.ranked))
    return lambda method: (fmean(shares[method]) if shares[method] else 1.0, method)
