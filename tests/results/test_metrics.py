import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from suite.errors import Diverged
from suite.registry.schema import TaskEntry, TrackEntry
from suite.results.metrics import contribution, evaluate, score, track_score


def task(*metrics, labels=("no", "yes")):
    regression = {"type": "regression", "minimum": 0, "maximum": 5}
    return TaskEntry.model_validate(
        {
            "schema": 1,
            "name": "example",
            "description": "",
            "modality": "image",
            "output": {"type": "classification", "labels": labels} if labels else regression,
            "metrics": metrics,
            "sources": {},
            "licence": "",
        }
    )


def track(tasks, **keys):
    return TrackEntry.model_validate(
        {
            "schema": 1,
            "name": "example",
            "description": "",
            "modality": "image",
            "tasks": tasks,
            "backbones": {},
            **keys,
        }
    )


def test_classification_metrics_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(2, size=(2, 300))
    found = evaluate(task("accuracy", "f1", "matthews"), predictions, targets)
    assert found["accuracy"] == pytest.approx(
        100 * sklearn_metrics.accuracy_score(targets, predictions)
    )
    assert found["f1"] == pytest.approx(100 * sklearn_metrics.f1_score(targets, predictions))
    assert found["matthews"] == pytest.approx(
        100 * sklearn_metrics.matthews_corrcoef(targets, predictions)
    )
    assert score(found) == pytest.approx(np.mean(list(found.values())))


def test_correlations_equal_those_of_scipy():
    rng = np.random.default_rng(1)
    targets = rng.integers(11, size=200) / 2
    predictions = targets + rng.normal(size=200)
    found = evaluate(task("pearson", "spearman", labels=None), predictions, targets)
    assert found["pearson"] == pytest.approx(100 * stats.pearsonr(predictions, targets).statistic)
    assert found["spearman"] == pytest.approx(100 * stats.spearmanr(predictions, targets).statistic)


@pytest.mark.parametrize("metric", ["f1", "matthews", "pearson", "spearman"])
def test_a_constant_prediction_is_worth_nothing(metric):
    targets = np.array([0, 1, 1, 0, 1])
    assert evaluate(task(metric), np.zeros(5), targets) == {metric: 0.0}


def test_an_unparsed_answer_is_wrong_on_either_side():
    targets = np.array([1, 1, 0, 0])
    unparsed = evaluate(task("accuracy", "f1"), np.array([1, -1, -1, 0]), targets)
    wrong = evaluate(task("accuracy", "f1"), np.array([1, 0, 1, 0]), targets)
    assert unparsed == wrong


def test_f1_counts_label_one_also_among_more_classes():
    targets = np.array([1, 1, 2, 0])
    found = evaluate(task("f1", labels=("a", "b", "c")), np.array([1, 2, 2, 1]), targets)
    assert found["f1"] == pytest.approx(50)  # one hit, one miss, one false alarm


def test_predictions_that_are_not_finite_are_a_divergence():
    with pytest.raises(Diverged, match="example"):
        evaluate(task("pearson", labels=None), np.array([1.0, np.nan]), np.array([1.0, 2.0]))


def test_the_mean_score_needs_every_task():
    both = track(["a", "b"])
    assert track_score(both, {"a": 80, "b": 60}) == 70
    with pytest.raises(ValueError, match="without b"):
        track_score(both, {"a": 80})


# Visual Decathlon: test accuracies as printed in Li et al., "Universal representations" (2022) and
# in NetTailor (2019), with the totals printed beside them.
DOMAINS = [
    "imagenet12",
    "aircraft",
    "cifar100",
    "daimlerpedcls",
    "dtd",
    "gtsrb",
    "vgg-flowers",
    "omniglot",
    "svhn",
    "ucf101",
]
FINETUNED = [59.87, 60.34, 82.12, 92.82, 55.53, 97.53, 81.41, 87.69, 96.55, 51.20]
PUBLISHED = {
    "feature extractor": (
        [59.67, 23.31, 63.11, 80.33, 45.37, 68.16, 73.69, 58.79, 43.54, 26.80],
        544,
    ),
    "fine-tuned": (FINETUNED, 2500),
    "series adapters": (
        [59.67, 56.68, 81.20, 93.88, 50.85, 97.05, 66.24, 89.62, 96.13, 47.45],
        2118,
    ),
    "parallel adapters": (
        [60.32, 64.21, 81.91, 94.73, 58.83, 99.38, 84.68, 89.21, 96.54, 50.94],
        3412,
    ),
    "piggyback": (
        [57.69, 65.29, 79.87, 96.99, 57.45, 97.27, 79.09, 87.63, 97.24, 47.48],
        2838,
    ),
    "NetTailor": (
        [61.42, 75.07, 81.84, 94.68, 61.28, 99.52, 86.53, 90.09, 96.44, 49.54],
        3744,
    ),
}


def decathlon():
    errors = {d: (100 - a) / 100 for d, a in zip(DOMAINS, FINETUNED, strict=True)}
    return track(DOMAINS, score="decathlon", baseline_errors=errors)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_decathlon_score_reproduces_published_totals(name):
    accuracies, total = PUBLISHED[name]
    found = track_score(decathlon(), dict(zip(DOMAINS, accuracies, strict=True)))
    assert found == pytest.approx(total, abs=3)


def test_a_decathlon_domain_gives_250_points_at_the_baseline_and_none_beyond_twice_its_error():
    errors = np.array([0.0, 0.1, 0.2, 0.5])
    points = contribution(
        track(["a"], score="decathlon", baseline_errors={"a": 0.1}), "a", 100 * (1 - errors)
    )
    assert points == pytest.approx([1000, 250, 0, 0])
