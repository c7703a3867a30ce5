import pytest

from suite.registry import load
from suite.results.scores import contribution

TRACKS = {name: track for name, track in load().tracks.items() if track.published}


@pytest.mark.parametrize("name", TRACKS)
def test_a_published_score_follows_from_its_task_scores(name):
    track = TRACKS[name]
    complete = [row for row in track.published if row.scores.keys() == set(track.tasks)]
    assert complete
    # Points are sums of squares of errors that papers print with four digits.
    tolerance = 3 if track.score == "decathlon" else 0.06
    for row in complete:
        score = sum(contribution(track, task, value) for task, value in row.scores.items())
        assert row.score == pytest.approx(score, abs=tolerance), row.label


@pytest.mark.parametrize("name", TRACKS)
def test_a_published_row_is_of_tasks_of_its_track_and_says_where_it_was_read(name):
    for row in TRACKS[name].published:
        assert set(row.scores) <= set(TRACKS[name].tasks), row.label
        assert row.source, row.label


def test_the_points_of_the_decathlon_start_at_full_finetuning():
    track = TRACKS["visual-decathlon"]
    assert len(track.published) >= 14
    (baseline,) = [row for row in track.published if row.method == "full_finetuning"]
    for task in track.tasks:
        assert contribution(track, task, baseline.scores[task]) == pytest.approx(250, abs=1e-6)
