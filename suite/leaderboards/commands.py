"""The commands that measure a page again: its methods, settings, tasks, seeds and registry."""

from suite.console import shown
from suite.leaderboards.board import Board, Row
from suite.leaderboards.rows import NOT_RUN
from suite.registry.cache import given_backbones
from suite.registry.loader import CATALOGS, own_registry
from suite.registry.schema import REQUESTED, STORE


def commands(board: Board) -> list[str]:
    """What runs every cell of the page again: one command for all rows that have their tasks, seeds
    and setting in common; methods that are not defined here are named with the plain ones."""
    by_words: dict[tuple[str, str, str], set[str]] = {}
    for row in board.rows:
        words = (_tasks(board, row), ",".join(map(str, row.seeds)), _setting(row))
        by_words.setdefault(words, set()).add(row.method)
    plain = [words for words in by_words if not words[2]]
    usual = max(plain, key=lambda words: len(by_words[words]), default=None)
    if usual is None:
        usual = (board.track.name, next(iter(by_words))[1], "")
    if board.unsupported:
        by_words.setdefault(usual, set()).update(board.unsupported)
    found = []
    for (tasks, seeds, setting), methods in sorted(
        by_words.items(), key=lambda item: item[0][::-1]
    ):
        parts = [
            f"python -m suite run{board.scale.argument} --methods {','.join(sorted(methods))}",
            f"--tasks {tasks} --backbones {board.backbone} --seeds {seeds}",
            setting,
            _registry(board),
        ]
        found.append(" ".join(part for part in parts if part))
    return found


def _tasks(board: Board, row: Row) -> str:
    """The track, or those of its tasks that the row was run on."""
    run = [task for task in board.track.tasks if row.tasks[task].missing != NOT_RUN]
    if len(run) in (0, len(board.track.tasks)):
        return board.track.name
    return ",".join(f"{board.track.name}/{task}" for task in run)


def _setting(row: Row) -> str:
    """`--set lora.rank=4 --steps 200`; empty for a method as it is."""
    parts = (part.partition("=") for part in row.setting.split(",") if part)
    return " ".join(
        f"--{name.replace('_', '-')} {value}"
        if name in (*REQUESTED, STORE)
        else f"--set {row.method}.{name}={value}"
        for name, _, value in parts
    )


def _registry(board: Board) -> str:
    """Where entries come from that are not the package's own."""
    paths = [row.entry.path.parent for row in board.rows if row.entry]
    paths.append(board.track.path.parent.parent)
    # Backbones that were given by an id or a folder are found without a registry.
    found = (*CATALOGS, given_backbones())
    if board.backbone_entry and board.backbone_entry.path.parent not in found:
        paths.append(board.backbone_entry.path.parent)
    folders = {path.parent for path in paths} - {own_registry()}
    return f"--registry {shown(min(folders))}" if folders else ""
