import numpy as np
import pytest
from scipy.special import digamma, polygamma, stdtrit

from suite.errors import UserError
from suite.results import noise
from suite.results.moderation import moderated
from suite.results.statistics import Estimate, RunNoise


def rows(variances, seeds=3, cells=1):
    """Estimates whose seeds have exactly these variances, without noise of examples."""
    wave = np.linspace(-1, 1, seeds)
    unit = wave / wave.std(ddof=1)
    return [Estimate(np.outer([v**0.5] * cells, unit), np.zeros(50)) for v in variances]


def test_variances_that_agree_are_pooled():
    found, pool = moderated(rows([1.0, 1.1, 0.9, 1.0, 1.05]))
    assert {one.noise for one in found} == {pool}
    assert pool.variance == pytest.approx(1.01)
    assert pool.freedom == pytest.approx(10)


def test_variances_that_differ_beyond_chance_are_only_moved_towards_each_other():
    variances = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4] * 4
    found, _ = moderated(rows(variances, seeds=9))
    moved = np.array([one.noise.variance for one in found])
    assert (np.argsort(moved, kind="stable") == np.argsort(variances, kind="stable")).all()
    assert moved[0] > variances[0]
    assert moved[7] < variances[7]
    assert all(8 < one.noise.freedom < 20 for one in found)


def test_the_prior_solves_the_equations_of_its_paper():
    # Smyth 2004, section 6.2: mean and variance of log s^2; eight degrees of freedom a row.
    variances = [0.5, 6, 0.6, 4, 0.7, 8, 1, 2]
    found, pool = moderated(rows(variances, seeds=9))
    freedom = found[0].noise.freedom - 8
    logs = np.log(variances) - digamma(4) + np.log(4)
    assert polygamma(1, freedom / 2) == pytest.approx(logs.var(ddof=1) - polygamma(1, 4))
    prior = np.exp(logs.mean() + digamma(freedom / 2) - np.log(freedom / 2))
    assert pool.variance == pytest.approx(prior)
    for one, variance in zip(found, variances, strict=True):
        shrunk = (freedom * prior + 8 * variance) / (freedom + 8)
        assert one.noise.variance == pytest.approx(shrunk)


def test_a_row_that_varies_far_more_than_the_others_keeps_its_variance_and_does_not_move_theirs():
    variances = [1.0, 1.1, 0.9, 1.0, 1.05]
    found, pool = moderated(rows([*variances, 400.0]))
    assert found[5].noise == RunNoise(pytest.approx(400.0), 2)
    assert [one.noise for one in found[:5]] == [one.noise for one in moderated(rows(variances))[0]]
    # A further row may be like either.
    assert pool.freedom < 3


def test_a_further_row_among_unusual_ones_may_be_like_any_of_them():
    _, pool = moderated(rows([1.0] * 9 + [400.0]))
    rng = np.random.default_rng(3)
    # Of eleven rows, the new one among them, two may vary like the one that stands out.
    spread, freedom = np.array([1.0] * 9 + [20.0] * 2), np.array([18] * 9 + [2] * 2)
    which = rng.integers(11, size=400_000)
    runs = spread[which] * rng.standard_t(freedom[which])
    width = pool.variance**0.5 * stdtrit(pool.freedom, 0.975)
    assert np.mean(np.abs(runs) > width) == pytest.approx(0.05, abs=0.002)


def test_where_hardly_any_row_varies_a_further_one_may():
    _, pool = moderated(rows([0.0] * 60 + [30.0]))
    assert pool.variance == pytest.approx(30 / 61)


def test_a_row_with_one_seed_takes_what_the_others_tell_or_the_pool():
    single = Estimate(np.zeros((1, 1)), np.zeros(50))
    found, pool = moderated([*rows([1.0, 1.0]), single])
    assert found[2].noise == pool
    given = RunNoise(4.0, 12.0)
    assert moderated([single], given)[0][0].noise == given
    assert moderated([single])[0][0].noise is None


def test_seeds_that_agree_exactly_are_no_proof_of_no_noise():
    alike = np.random.default_rng(10).chisquare(2, size=11) / 2
    found, _ = moderated(rows([0.0, *alike]))
    assert found[0].noise.variance == pytest.approx(alike.sum() / 12)


def test_among_seeds_that_agree_exactly_a_row_that_varies_stands_alone():
    found, _ = moderated([*rows([0.0] * 8), *rows([400.0])])
    assert found[8].noise == RunNoise(pytest.approx(400.0), 2)
    assert all(one.noise.variance == 0 for one in found[:8])


def test_a_noise_file_that_a_merge_left_in_conflict_is_named(tmp_path, monkeypatch):
    path = tmp_path / "leaderboards" / noise.NAME
    path.parent.mkdir()
    path.write_text("<<<<<<< ours\n[]\n")
    monkeypatch.setattr(noise, "_PACKAGE", tmp_path / "suite")
    with pytest.raises(UserError, match=r"noise\.json: .*delete it and write it again"):
        noise.published.__wrapped__()


def test_nothing_is_known_of_a_task_that_a_board_did_not_have():
    (pool, *_) = (pool for pool in noise.published() if not pool.joint)
    some = [*pool.tasks][:2]
    assert pool.of_mean(some) is not None
    assert pool.of_mean([*some, "another"]) is None
