"""Every metric against scikit-learn and scipy, with equal weights and with random ones."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn import metrics as sklearn_metrics

from suite.registry.metrics import METRICS, weighted


def pearson(predictions, targets):
    return stats.pearsonr(predictions, targets).statistic


def spearman(predictions, targets):
    return stats.spearmanr(predictions, targets).statistic


def macro_f1(predictions, targets):
    # What could not be parsed (-1) is a miss, and no class of its own.
    labels = np.setdiff1d(np.union1d(predictions, targets), -1)
    return sklearn_metrics.f1_score(
        targets, predictions, labels=labels, average="macro", zero_division=0
    )


def f1_of_labels(average):
    return lambda p, t: sklearn_metrics.f1_score(t, p > 0, average=average, zero_division=0)


def one_against_rest(log_odds, targets):
    classes = range(log_odds.shape[1])
    return np.mean([sklearn_metrics.roc_auc_score(targets == c, log_odds[:, c]) for c in classes])


# What answers may be: class indices, log-odds of two classes or of three, sets of labels, log-odds
# of labels, numbers.
ORACLES = {
    ("accuracy", "classes"): lambda p, t: sklearn_metrics.accuracy_score(t, p),
    ("accuracy", "odds"): lambda p, t: sklearn_metrics.accuracy_score(t, p[:, 0] > 0),
    ("accuracy", "several odds"): lambda p, t: sklearn_metrics.accuracy_score(t, p.argmax(1)),
    # An unparsed answer (-1) is a miss where the target is positive, a false alarm elsewhere.
    ("f1", "classes"): lambda p, t: sklearn_metrics.f1_score(
        t == 1, np.where(p == -1, t != 1, p == 1)
    ),
    ("f1", "odds"): lambda p, t: sklearn_metrics.f1_score(t, p[:, 0] > 0),
    ("matthews", "classes"): lambda p, t: sklearn_metrics.matthews_corrcoef(t, p),
    ("macro_f1", "classes"): macro_f1,
    ("macro_f1", "several odds"): lambda p, t: macro_f1(p.argmax(1), t),
    ("macro_f1", "labels"): f1_of_labels("macro"),
    ("macro_f1", "odds of labels"): f1_of_labels("macro"),
    ("micro_f1", "labels"): f1_of_labels("micro"),
    ("micro_f1", "odds of labels"): f1_of_labels("micro"),
    ("auroc", "odds"): lambda p, t: sklearn_metrics.roc_auc_score(t, p[:, 0]),
    ("auroc", "several odds"): one_against_rest,
    ("auroc", "odds of labels"): lambda p, t: sklearn_metrics.roc_auc_score(t, p, average="macro"),
    ("pearson", "numbers"): pearson,
    ("spearman", "numbers"): spearman,
}


def examples(form, runs=3, n=60):
    """Answers [runs, n, ...] better than chance, some unparsed or tied, and their targets."""
    rng = np.random.default_rng(3)
    if form == "numbers":
        targets = rng.integers(11, size=n) / 2
        answers = targets + rng.normal(size=(runs, n))
        answers[-1] = np.round(answers[-1])
    elif form == "classes":
        targets = rng.integers(3, size=n)
        answers = np.where(rng.random((runs, n)) < 0.6, targets, rng.integers(3, size=n))
        answers[0, :5] = -1
    else:
        shape = (n, 4) if "labels" in form else (n,)
        targets = rng.integers(3 if form == "several odds" else 2, size=shape)
        truths = {"several odds": np.eye(3)[targets], "odds": targets[:, None]}.get(form, targets)
        answers = truths + rng.normal(-0.5, 1, size=(runs, *truths.shape))
        answers = (answers > 0).astype(int) if form == "labels" else answers.round(1)
    return answers, targets


@pytest.fixture(params=ORACLES, ids=" of ".join)
def case(request):
    name, form = request.param
    return name, ORACLES[request.param], *examples(form)


def test_every_metric_has_an_oracle():
    assert METRICS.keys() == {name for name, _ in ORACLES}


def test_equal_weights_give_the_metric_itself(case):
    name, oracle, answers, targets = case
    found = weighted(name, answers, targets, np.ones((1, len(targets))))
    assert found.shape == (1, len(answers))
    assert found[0] == pytest.approx([oracle(p, targets) for p in answers])


def test_counts_mean_that_many_copies_of_an_example(case):
    name, oracle, answers, targets = case
    n = len(targets)
    # More weightings than are ranked at once.
    counts = np.random.default_rng(4).multinomial(n, np.full(n, 1 / n), size=120)
    found = weighted(name, answers, targets, counts.astype(float))
    assert len(found) == len(counts)
    for row, times in [*zip(found, counts, strict=True)][::-17]:
        repeated = np.repeat(targets, times, axis=0)
        assert row == pytest.approx(
            [oracle(np.repeat(p, times, axis=0), repeated) for p in answers]
        )


def test_the_order_of_classes_is_that_of_their_probabilities():
    """Scikit-learn takes probabilities that sum to 1; log-odds order examples alike."""
    rng = np.random.default_rng(6)
    targets = rng.integers(4, size=80)
    logits = np.eye(4)[targets] + rng.normal(size=(80, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    odds = np.log(p / (1 - p))
    assert expit(odds) == pytest.approx(p)
    found = weighted("auroc", odds[None], targets, np.ones((1, 80)))
    assert found[0, 0] == pytest.approx(
        sklearn_metrics.roc_auc_score(targets, p, multi_class="ovr", average="macro")
    )


def test_a_class_that_was_not_drawn_or_was_always_is_left_out_of_the_order():
    odds = np.array([[[0.1, 0.9, 0.2], [0.3, 0.2, 0.4], [0.2, 0.8, 0.1], [0.9, 0.1, 0.3]]])
    targets = np.array([1, 0, 1, 2])
    without_2 = np.array([[1.0, 1.0, 2.0, 0.0]])
    found = weighted("auroc", odds, targets, without_2)
    assert found[0, 0] == pytest.approx(1.0)  # of classes 0 and 1, each told apart
    one_alone = np.array([[2.0, 0.0, 2.0, 0.0]])
    assert weighted("auroc", odds, targets, one_alone)[0, 0] == 0.5


WORTH_NOTHING = ("f1", "matthews", "pearson", "spearman")


@pytest.mark.parametrize("name", WORTH_NOTHING)
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_answer_is_worth_nothing_on_any_resample(name, constant):
    _, targets = examples("numbers" if name in ("pearson", "spearman") else "classes")
    n = len(targets)
    counts = np.random.default_rng(5).multinomial(n, np.full(n, 1 / n), size=5).astype(float)
    found = METRICS[name].weighted(np.full((1, n), constant), targets, counts)
    assert np.array_equal(found, np.zeros((5, 1)))


@pytest.mark.parametrize("form", ["odds", "several odds", "odds of labels"])
def test_constant_odds_order_nothing_on_any_resample(form):
    answers, targets = examples(form)
    n = len(targets)
    counts = np.random.default_rng(5).multinomial(n, np.full(n, 1 / n), size=5).astype(float)
    found = weighted("auroc", np.full_like(answers, 1e9 + 0.1), targets, counts)
    assert np.array_equal(found, np.full((5, len(answers)), 0.5))


def test_the_registry_reads_metrics_without_numpy():
    code = "import sys, suite.registry; suite.registry.load(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
