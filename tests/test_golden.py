"""Every way of adapting, on every family, computes what it computed when it was recorded."""

import pytest
from golden import CELLS, RECORDING, differences, measure, read_record, workspace


@pytest.fixture(scope="module")
def shared():
    with workspace() as made:
        yield made


@pytest.mark.parametrize("golden", CELLS, ids=lambda golden: golden.name)
def test_a_cell_computes_what_is_on_record(golden, shared):
    moved = differences(read_record().get(golden.name, {}), measure(golden, shared))
    if moved:
        pytest.fail(explained(golden.name, moved), pytrace=False)


def explained(name, moved):
    return "\n".join(
        [
            f"{name} is not what tests/golden.json records:",
            *(f"  {line}" for line in moved),
            "If this was not intended, the edit changes results: mend it. If it was, results of",
            "before become stale by themselves, and these must be recorded anew:",
            f"  {RECORDING}",
        ]
    )


def test_the_record_holds_these_cells_and_no_other():
    assert [*read_record()] == [golden.name for golden in CELLS]
    families = {golden.backbone.removesuffix("_mini") for golden in CELLS}
    assert families == {"resnet", "densenet", "vit", "bert", "t5"}


def test_what_moved_is_named_with_its_size():
    recorded = {"losses": [2.0, 1.0, 0.5], "bits": {"shared": 3}, "predictions": {"a": [1, 0]}}
    rounded = {"losses": [2.0, 1.0005, 0.5], "bits": {"shared": 3}, "predictions": {"a": [1, 0]}}
    assert differences(recorded, rounded) == []
    changed = {"losses": [2.0, 1.1, 0.8], "bits": {"shared": 4}, "predictions": {"a": [1, 1]}}
    assert differences(recorded, changed) == [
        "losses: number 2 of 3 was 1.0, is 1.1 (2 moved, by up to 0.3; 0.002 is rounding)",
        "bits of shared: was 3, is 4",
        "predictions of a: number 2 of 2 was 0, is 1",
    ]
    assert differences(recorded, {"losses": [2.0]})[0] == "losses: [2.0, 1.0, 0.5] became [2.0]"
