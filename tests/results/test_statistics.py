from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from suite.results.resampling import resampled_scores
from suite.results.statistics import Estimate, RunNoise, compare, holm, total

N, TASKS, SEEDS = 200, 4, 3
STEADY = RunNoise(0.0, np.inf)


def estimate(correct, *, joint=False, resamples=200):
    """An estimate from whether each answer is right: bool [tasks, seeds, examples]."""
    tasks = len(correct)
    targets = np.ones(correct.shape[2], dtype=int)
    parts = []
    for i, right in enumerate(correct.astype(int)):
        resampled = resampled_scores(f"task{i}", ("accuracy",), right, targets, resamples) / tasks
        parts.append(Estimate(100 * right.mean(axis=1)[None] / tasks, resampled.mean(axis=1)))
    return total(parts, trained_together=joint)


def experiment(rng, truth, *, between_seeds, joint):
    """Answers of one method whose accuracy is `truth` over all examples and seeds."""
    between_examples = 1.0
    shift = rng.normal(size=(1 if joint else TASKS, SEEDS, 1)) * between_seeds
    hardness = rng.normal(size=(TASKS, 1, N)) * between_examples
    scale = np.sqrt(1 + between_seeds**2 + between_examples**2)
    return stats.norm.ppf(truth) * scale + shift + hardness + rng.normal(size=(TASKS, SEEDS, N)) > 0


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("between_seeds", [0.0, 0.2])
def test_the_interval_covers_the_truth_nineteen_times_in_twenty(joint, between_seeds):
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(300):
        answers = experiment(rng, 0.75, between_seeds=between_seeds, joint=joint)
        low, high = estimate(answers, joint=joint).interval()
        covered.append(low <= 75 <= high)
    assert 0.89 <= np.mean(covered) <= 0.995


def test_one_seed_alone_gives_no_interval_and_no_comparison():
    right = np.arange(400)[None, None] < 300
    assert estimate(right).interval() is None
    with pytest.raises(ValueError, match="one seed"):
        compare(estimate(right), estimate(right))


def test_where_runs_do_not_vary_the_interval_is_the_binomial_one():
    right = np.arange(400)[None, None] < 300
    low, high = replace(estimate(right, resamples=1000), noise=STEADY).interval()
    error = 100 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((75 - 1.96 * error, 75 + 1.96 * error), abs=0.4)


def test_runs_that_disagree_widen_the_interval_more_when_they_are_one_joint_run():
    right = np.ones((TASKS, SEEDS, N), dtype=bool)
    right[:, 0, :20] = False
    widths = []
    for joint in (False, True):
        low, high = estimate(right, joint=joint).interval()
        widths.append(high - low)
    assert widths[0] < widths[1]


def test_a_paired_difference_is_surer_than_two_separate_intervals():
    a = np.random.default_rng(6).random((1, 1, N)) < 0.7
    b = a.copy()
    b[0, 0, np.flatnonzero(a[0, 0])[:8]] = False  # b fails on eight examples that a solves
    first, second = (replace(estimate(right), noise=STEADY) for right in (a, b))
    found = compare(first, second)
    assert found.difference == pytest.approx(4)
    assert found.low > 0
    assert found.p < 0.05
    assert second.interval()[1] > first.interval()[0]


def test_precisions_of_one_training_are_paired_by_run():
    rng = np.random.default_rng(2)
    runs, resampled = np.array([[70.0, 74.0, 78.0]]), 74 + 0.1 * rng.normal(size=200)
    exact = Estimate(runs, resampled, RunNoise(16.0, 10.0), ("lora",))
    rounded = Estimate(runs - 2 + [[0.1, 0, -0.1]], resampled - 2, RunNoise(16.0, 10.0), ("lora",))
    found = compare(exact, rounded)
    assert found.difference == pytest.approx(2) and found.high - found.low < 1
    assert found.p < 0.01
    other = replace(rounded, training=("dora",))
    assert compare(exact, other).high - compare(exact, other).low > 10


def test_a_method_cannot_be_told_apart_from_itself():
    right = np.random.default_rng(7).random((TASKS, SEEDS, N)) < 0.7
    found = compare(estimate(right), estimate(right))
    assert found.difference == 0
    assert found.p == 1


def test_holm_agrees_with_the_worked_example():
    # Four hypotheses against 0.05/4, 0.05/3, 0.05/2: the third fails, so the fourth does as well.
    assert holm([0.030, 0.005, 0.010, 0.040]) == [False, True, True, False]
    assert holm([]) == []


def test_a_difference_that_is_detectable_is_found_four_times_in_five():
    rng = np.random.default_rng(9)

    def measured(score):
        example = score + 0.4 * rng.normal()
        runs = rng.normal(size=(1, 3)) + example
        resampled = runs.mean() + 0.4 * rng.normal(size=300)
        return Estimate(runs, resampled, RunNoise(1.0, np.inf))

    found = compare(measured(80), measured(80)).detectable
    detected = [compare(measured(80 + found), measured(80)).p < 0.05 for _ in range(600)]
    assert np.mean(detected) == pytest.approx(0.8, abs=0.06)
