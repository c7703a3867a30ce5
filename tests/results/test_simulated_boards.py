"""Boards drawn anew with the noise of the committed ones: how often what a page claims is so."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from committed_boards import EVERY_BOARD, NAMES, Simulator, board_of, published

from suite.leaderboards.aggregate import boards
from suite.registry import load
from suite.results.moderation import moderated
from suite.results.ranks import ranks
from suite.results.statistics import compare

DRAWS = 120


def test_every_board_of_several_seeds_is_looked_at():
    assert {*published()} == {*NAMES}


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "unlike"])
@EVERY_BOARD
def test_intervals_cover_the_truth_whatever_their_width(name, alike):
    simulator, rng = Simulator(board_of(name), alike), np.random.default_rng(11)
    covered = np.empty((DRAWS, len(simulator.truth)))
    widths = np.empty_like(covered)
    for draw in range(DRAWS):
        low, high = np.array([one.interval() for one in simulator.draw(rng)]).T
        covered[draw] = (low <= simulator.truth) & (simulator.truth <= high)
        widths[draw] = high - low
    for fifth in np.array_split(np.argsort(widths, axis=None, kind="stable"), 5):
        member = np.isin(np.arange(widths.size), fifth).reshape(widths.shape)
        share = covered[member].mean()
        # The intervals of one draw rest on the same examples: they miss together.
        missed = ((covered - share) * member).sum(axis=1)
        room = 2 * (missed**2).sum() ** 0.5 / member.sum()
        assert 0.93 - room <= share <= 0.98 + room, (share, room)


@pytest.mark.nightly
def test_two_seeds_of_one_method_are_seldom_told_apart():
    registry, apart = load(), []
    for name, results in published().items():
        whole, singles = board_of(name), {}
        for seed in sorted({result.cell.seed for result in results}):
            own = [result for result in results if result.cell.seed == seed]
            (board,) = [board for board in boards(own, registry) if board.name == name]
            singles[seed] = {row.label: row.estimate for row in board.ranked}
        plain = [row for row in whole.ranked if not row.setting]
        for row in plain:
            others = [r.estimate for r in plain if r.joint == row.joint and r is not row]
            pool = moderated([replace(one, noise=None) for one in others])[1]
            pair = {seed: replace(singles[seed][row.label], noise=pool) for seed in singles}
            apart += [compare(pair[a], pair[b]).p < 0.05 for a, b in combinations(pair, 2)]
    assert len(apart) > 300
    assert np.mean(apart) <= 0.07


@EVERY_BOARD
def test_rank_intervals_and_marks_hold_the_truth(name):
    simulator, rng = Simulator(board_of(name)), np.random.default_rng(12)
    truth = 1 + (simulator.truth[None, :] > simulator.truth[:, None]).sum(axis=1)
    inside, marked = [], []
    for _ in range(60):
        found = ranks(simulator.draw(rng))
        inside += [r.low <= place <= r.high for r, place in zip(found, truth, strict=True)]
        marked.append(found[int(simulator.truth.argmax())].best)
    assert np.mean(inside) >= 0.95
    assert np.mean(marked) >= 0.95
