import numpy as np
import pytest

from suite.errors import Diverged
from suite.registry.schema import TaskEntry, TrackEntry
from suite.results.scores import contribution, evaluate, score


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


def test_a_task_has_every_metric_in_per_cent_and_their_mean_as_its_score():
    targets, predictions = np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0])
    found = evaluate(task("accuracy", "f1"), predictions, targets)
    assert found == pytest.approx({"accuracy": 75, "f1": 200 / 3})
    assert score(found) == pytest.approx((75 + 200 / 3) / 2)


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


def score_of(scored, scores):
    return sum(contribution(scored, task, score) for task, score in scores.items())


def test_tasks_contribute_to_a_mean_in_equal_parts():
    assert score_of(track(["a", "b"]), {"a": 80, "b": 60}) == 70


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
    found = score_of(decathlon(), dict(zip(DOMAINS, accuracies, strict=True)))
    assert found == pytest.approx(total, abs=3)


def test_a_decathlon_domain_gives_250_points_at_the_baseline_and_none_beyond_twice_its_error():
    errors = np.array([0.0, 0.1, 0.2, 0.5])
    points = contribution(
        track(["a"], score="decathlon", baseline_errors={"a": 0.1}), "a", 100 * (1 - errors)
    )
    assert points == pytest.approx([1000, 250, 0, 0])
