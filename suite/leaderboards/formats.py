"""How numbers and tables are written, in Markdown and on the console."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from suite.leaderboards.board import Row, TaskColumn
from suite.registry.options import all_written
from suite.results.statistics import Estimate

NONE = "–"
_SIGNS = (("\\", r"\\"), ("<", "&lt;"), ("`", r"\`"))
"""What begins HTML or code, or takes a sign's meaning away, and how it is written to be read."""
_LINKS = (("](", r"]\("), ("][", r"]\["), ("]:", r"]\:"))
_BRACKETS = (("[", r"\["), ("]", r"\]"))
_SETTING = re.compile(r"[^][]*(\[[^][]*\])?")
"""A name with one pair of brackets at most, as `lora[rank=4]`: it can stand within a link's."""
_BLOCK = re.compile(r"^(\d*)([#>+*=|~_.)-])")
"""What at the beginning of a line makes a heading, a list, a quotation or a table of it."""


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], *, left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the others right."""
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    align = ["left"] * left + ["right"] * (len(headers) - left)
    return tabulate(cells, headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def plain(text: str) -> str:
    """A text that somebody else wrote, such that Markdown shows it and makes nothing of it: neither
    HTML nor code, links, pictures, headings or lists. It becomes one line."""
    return _escaped(one_line(text), _LINKS)


def _escaped(line: str, links: Sequence[tuple[str, str]]) -> str:
    for sign, written in (*_SIGNS, *links):
        line = line.replace(sign, written)
    return _BLOCK.sub(r"\1\\\2", line)


def one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def link(text: str, url: str | None) -> str:
    """A link under a text that somebody else wrote; the text alone without an address."""
    if not url:
        return plain(text)
    line = one_line(text)
    shown = plain(line) if _SETTING.fullmatch(line) else _escaped(line, _BRACKETS)
    return f"[{shown}]({''.join(f'%{ord(c):02X}' if c in '()<>' else c for c in url)})"


def code(text: str) -> str:
    """A text that somebody else wrote, as code: backticks become apostrophes."""
    return f"`{one_line(text).replace('`', chr(39))}`"


def with_interval(estimate: Estimate) -> str:
    """`71.4 ± 1.2`: the score and half the width of its 95 % interval, where there is one."""
    interval = estimate.interval()
    if interval is None:
        return f"{estimate.score:.1f}"
    return f"{estimate.score:.1f} ± {(interval[1] - interval[0]) / 2:.1f}"


def rank(row: Row) -> str:
    """`3 (1–5)`: the place and the 95 % interval of the true place."""
    if row.rank is None:
        return NONE
    return f"{row.rank.place} ({row.rank.low}–{row.rank.high})"


def score(row: Row) -> str:
    """A row's score with its interval, or how many tasks have one."""
    if row.estimate is None:
        return f"{row.solved}/{len(row.tasks)} tasks"
    return with_interval(row.estimate)


def task_score(column: TaskColumn) -> str:
    """A task's score with its interval, or why there is none."""
    return with_interval(column.estimate) if column.estimate else f"*{column.missing}*"


def settings(row: Row) -> str:
    """`rank=4, alpha=8`: every option of a row, at its default or not."""
    return plain(all_written(row.options))


def multiple(x: float) -> str:
    """`1.003×`, with the digits that matter beside 1."""
    return f"{x:.4f}×" if 0 < x - 1 < 0.01 else f"{x:.3f}×" if x < 2 else f"{x:.2f}×"


def stored(x: float) -> str:
    """`0.0065×` or `8.01×`: three significant digits, two below a hundredth."""
    if x == 0:
        return "0×"
    return f"{x:.2g}×" if x < 0.01 else f"{x:.3f}×" if x < 1 else f"{x:.2f}×"


def percent(fraction: float) -> str:
    """`0.29` for 0.0029: three significant digits, no more than needed."""
    value = 100 * fraction
    if value == 0:
        return "0"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.0995 else f"{value:.2g}"


def size(count: float) -> str:
    """Bytes in MB (10^6), with three significant digits."""
    return f"{count / 1e6:.3g}" if count < 999.5e6 else f"{count / 1e6:.0f}"
