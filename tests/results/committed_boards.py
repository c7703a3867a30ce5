"""Boards like the published ones, drawn anew as often as one likes.

The noise of a published board is taken from its results: the covariance of all methods' scores over
resampled test examples, and the variance of one task's score from seed to seed, for per-task and
for joint methods; all methods of a kind have the same, or every method its own. True scores are the
observed ones, moved together by what noise spread them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from suite.leaderboards.aggregate import boards
from suite.leaderboards.board import Board
from suite.registry import load
from suite.results.folder import read_results
from suite.results.moderation import moderated
from suite.results.records import Result
from suite.results.statistics import Estimate

FOLDER = Path(__file__).parents[2] / "leaderboards"
SEEDS = 3


NAMES = tuple(
    "{}-{}-{}".format(*path.name.split("."))
    for path in sorted((FOLDER / "data").glob("*.*.*.jsonl"))
)
"""Those of the boards, which all were measured with several seeds, known without reading them."""
BY_DAY = ("glue-bert_mini-mini", "visual-domains-resnet_mini-mini")
EVERY_BOARD = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in BY_DAY else pytest.mark.nightly) for name in NAMES],
)


@cache
def published() -> Mapping[str, tuple[Result, ...]]:
    """The results of the boards that were measured with several seeds."""
    results = defaultdict(list)
    for result in read_results(FOLDER).values():
        cell = result.cell
        results[f"{cell.track}-{cell.backbone}-{cell.scale}"].append(result)
    return {
        name: tuple(own)
        for name, own in results.items()
        if any(result.cell.seed > 0 for result in own)
    }


@cache
def board_of(name: str) -> Board:
    """The board of a name."""
    return next(board for board in boards(published()[name], load()) if board.name == name)


def moderated_apart(estimates: Sequence[Estimate], joint: np.ndarray) -> list[Estimate]:
    """Per-task rows and joint ones moderated apart, as boards are."""
    done = list(estimates)
    for kind in (False, True):
        members = np.flatnonzero(joint == kind)
        for i, one in zip(members, moderated([estimates[i] for i in members])[0], strict=True):
            done[i] = one
    return done


@dataclass
class Simulator:
    """Draws boards of the same methods, of which the truth is known."""

    board: Board
    alike: bool = True
    """Whether the runs of all methods of a kind vary equally."""

    def __post_init__(self) -> None:
        # Other precisions are the same runs, and other settings as many rows more.
        rows = [row for row in self.board.ranked if not row.setting]
        estimates = [row.estimate for row in rows]
        self.joint = np.array([row.joint for row in rows])
        covariance = np.cov([one.resampled for one in estimates])
        self.root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(rows)))
        per_task = [e for e, joint in zip(estimates, self.joint, strict=True) if not joint]
        together = [e for e, joint in zip(estimates, self.joint, strict=True) if joint]
        self.per_task = np.mean([one.cell_variances for one in per_task], axis=0)
        self.together = np.mean([one.cell_variances.sum() for one in together], keepdims=True)
        runs = np.where(self.joint, self.together, self.per_task.sum())
        own = np.array([one.run_noise.variance for one in estimates])
        self.factor = np.ones(len(rows)) if self.alike else own / runs
        runs = self.factor * runs / SEEDS
        observed = np.array([one.score for one in estimates])
        kept = max(0.0, 1 - (runs + np.diag(covariance)).mean() / observed.var(ddof=1))
        self.truth = observed.mean() + kept**0.5 * (observed - observed.mean())

    def draw(self, rng: np.random.Generator, resamples: int = 400) -> list[Estimate]:
        """The estimates of one board, moderated."""
        methods = len(self.truth)
        examples = self.root @ rng.normal(size=methods)
        resampled = self.root @ rng.normal(size=(methods, resamples))
        found = []
        for i, joint in enumerate(self.joint):
            variances = (self.together if joint else self.per_task) * self.factor[i]
            noise = rng.normal(size=(len(variances), SEEDS)) * variances[:, None] ** 0.5
            runs = noise + (self.truth[i] + examples[i]) / len(variances)
            found.append(Estimate(runs, runs.sum(axis=0).mean() + resampled[i]))
        return moderated_apart(found, self.joint)
