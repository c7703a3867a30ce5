"""What the committed results of the mini scale say."""

from functools import cache
from pathlib import Path

import numpy as np

from suite.results.folder import read_results
from suite.results.records import Result

FOLDER = Path(__file__).parents[1] / "leaderboards"


@cache
def results(backbone: str, method: str) -> list[Result]:
    """The results of a method, as it is, on a backbone that have scores."""
    return [
        each for each in _plain() if (each.cell.backbone, each.cell.method) == (backbone, method)
    ]


@cache
def _plain() -> list[Result]:
    """Those without settings, in float32."""
    every = read_results(FOLDER).values()
    return [each for each in every if each.status == "ok" and each.cell.name == each.cell.method]


@cache
def scores() -> dict[tuple[str, str], dict[str, list[float]]]:
    """(backbone, method) -> task -> one score for each seed."""
    table: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in _plain():
        if result.cell.scale == "mini":
            tasks = table.setdefault((result.cell.backbone, result.cell.method), {})
            for score in result.scores:
                tasks.setdefault(score.task, []).append(score.score)
    return table


def mean_score(backbone: str, method: str) -> float:
    """The mean over tasks of the mean over seeds, as on the leaderboards."""
    return float(np.mean([np.mean(seeds) for seeds in scores()[backbone, method].values()]))
