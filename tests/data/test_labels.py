"""What a column holds is read as the task means it, or refused with its row."""

import os

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.data.sources import load_splits
from suite.errors import UserError
from suite.registry.schema import Scale, TaskEntry

CLASSES = {"type": "classification", "labels": ["no", "yes"]}
COLOURS = {"type": "multilabel", "labels": ["red", "green", "blue"]}
STARS = {"type": "regression", "minimum": 0, "maximum": 5}
TEXTS = [f"text {row}" for row in range(6)]


def task(output, **source):
    return TaskEntry(
        schema=1,
        name="rated",
        track="toy",
        description="For tests.",
        modality="text",
        output=output,
        metrics=[
            {"multilabel": "micro_f1", "regression": "pearson"}.get(output["type"], "accuracy")
        ],
        text={"columns": ["sentence"], "template": "{sentence}"},
        sources={"full": {"hub": "me/rated", "split_rule": "named", **source}},
        licence="none",
    )


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes three splits; the columns given are those of train."""
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "datasets" / "me" / "rated" / "default"
    folder.mkdir(parents=True)

    def put(split, columns):
        pd.DataFrame(columns).to_parquet(folder / f"{split}-00000-of-00001.parquet")

    def splits(label, sentence=TEXTS, others=(0, 1, 0, 1)):
        put("train", {"sentence": pd.Series(sentence), "label": pd.Series(label)})
        for split in ("validation", "test"):
            texts = [f"{split} {row}" for row in range(len(others))]
            put(split, {"sentence": texts, "label": others})

    splits.folder = folder
    return splits


REFUSED = {
    "null": ([0, 1, None, 1, 0, 1], "null is no class"),
    "fraction": ([0, 1, 0.5, 1, 0, 1], "0.5 is no class"),
    "infinite": ([0, 1, float("inf"), 1, 0, 1], "inf is no class"),
    "too large": ([0, 1, 2, 1, 0, 1], "class 2, but output.labels has 2"),
    "hidden": ([0, 1, -1, 1, 0, 1], r"class -1.*drop_labels: \[-1\]"),
    "misspelt": (["no", "yes", "yse", "no", "no", "no"], "'yse' is not in .* mean 'yes'"),
}


@pytest.mark.parametrize(("label", "message"), REFUSED.values(), ids=REFUSED)
def test_a_label_that_is_no_class_is_refused_with_its_row(write, label, message):
    write(label)
    with pytest.raises(UserError, match=rf"train, row 2 of 0 to 5, column 'label': .*{message}"):
        load_splits(task(CLASSES), Scale.FULL, None)


@pytest.mark.parametrize("number", [None, float("nan"), float("inf"), -0.1, 5.1])
def test_a_number_outside_the_range_is_refused_with_its_row(write, number):
    write([0.0, 1, number, 3, 4, 5])
    with pytest.raises(UserError, match="row 2 of 0 to 5, column 'label'"):
        load_splits(task(STARS), Scale.FULL, None)


@pytest.mark.parametrize("missing", [None, 7])
def test_a_missing_text_is_refused_with_its_row(write, missing):
    sentence = [*TEXTS[:3], missing, *TEXTS[4:]] if missing is None else [7] * 6
    write([0, 1, 0, 1, 0, 1], sentence=sentence)
    row = 3 if missing is None else 0
    with pytest.raises(UserError, match=f"train, row {row} of 0 to 5, column 'sentence'"):
        load_splits(task(CLASSES), Scale.FULL, None)


SETS = [["red"], [], ["blue", "green"], ["green"], ["red", "green", "blue"], []]
OTHER_SETS = (["red"], ["green"], ["blue"])


def test_several_labels_are_lists_of_names_or_of_numbers(write):
    expected = [[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0]]
    write(SETS, others=OTHER_SETS)
    assert load_splits(task(COLOURS), Scale.FULL, None).train["label"].tolist() == expected
    write([[COLOURS["labels"].index(name) for name in row] for row in SETS], others=OTHER_SETS)
    assert load_splits(task(COLOURS), Scale.FULL, None).train["label"].tolist() == expected


def test_names_of_several_labels_in_another_order_are_translated(write):
    write(SETS, others=OTHER_SETS)
    names = datasets.ClassLabel(names=["blue", "green", "red"])
    kind = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.List(names)})
    rows = datasets.Dataset.from_dict({"sentence": TEXTS[:2], "label": [[0], [1, 2]]}, kind)
    rows.to_parquet(write.folder / "train-00000-of-00001.parquet")
    found = load_splits(task(COLOURS), Scale.FULL, None).train["label"]
    assert found.tolist() == [[0, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["red", "rde"], r"'rde' is not in output\.labels; did you mean 'red'"),
        (None, "null is no list of labels"),
        (["red", None], "null is no class"),
        (["red", "red"], "has a label twice"),
    ],
)
def test_a_list_that_is_no_set_of_labels_is_refused_with_its_row(write, wrong, message):
    write([*SETS[:2], wrong, *SETS[3:]], others=OTHER_SETS)
    with pytest.raises(UserError, match=f"train, row 2 of 0 to 5, column 'label': .*{message}"):
        load_splits(task(COLOURS), Scale.FULL, None)


def test_a_zero_or_one_for_each_label_is_not_taken_for_a_list_of_labels(write):
    write([[0, 0, 1], [1, 1, 0]] * 3, others=([0, 1, 1], [0, 0, 1]))
    with pytest.raises(UserError, match=r"\[0, 0, 1\] has a label twice: .* not a 0 or 1 for each"):
        load_splits(task(COLOURS), Scale.FULL, None)


def test_a_split_in_which_all_have_the_same_labels_is_refused_and_an_unused_one_is_said(write):
    write(SETS, others=(["red"], ["red"]))
    with pytest.raises(UserError, match="all 2 answers of validation are the same set of labels"):
        load_splits(task(COLOURS), Scale.FULL, None)
    write([["red"], ["green"]] * 3, others=(["red"], ["green"], []))
    assert load_splits(task(COLOURS), Scale.FULL, None).note == "no example of blue"


def test_whole_numbers_may_be_written_as_others_and_names_as_numbers(write):
    for label in ([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], ["no", "yes", "no", "yes", "no", "yes"]):
        write(label)
        found = load_splits(task(CLASSES), Scale.FULL, None).train["label"]
        assert found.tolist() == [0, 1, 0, 1, 0, 1]


def test_names_of_the_file_in_another_order_are_translated(write):
    write([0, 1, 0, 1, 0, 1])
    kind = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["yes", "no"])}
    )
    rows = datasets.Dataset.from_dict({"sentence": TEXTS, "label": [0, 1, 0, 1, 1, 1]}, kind)
    rows.to_parquet(write.folder / "train-00000-of-00001.parquet")
    found = load_splits(task(CLASSES), Scale.FULL, None).train
    assert found["label"].tolist() == [1, 0, 1, 0, 0, 0]


def test_names_of_the_file_are_translated_where_some_are_the_tasks(write):
    def named(names, label):
        write([0, 1, 0, 1, 0, 1])
        kind = datasets.Features(
            {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
        )
        rows = datasets.Dataset.from_dict({"sentence": TEXTS, "label": label}, kind)
        rows.to_parquet(write.folder / "train-00000-of-00001.parquet")
        return load_splits(task(CLASSES), Scale.FULL, None).train["label"].tolist()

    assert named(["yes", "perhaps", "no"], [0, 2, 0, 2, 0, 0]) == [1, 0, 1, 0, 1, 1]
    with pytest.raises(
        UserError, match=r"row 1 of .*: 1 is 'perhaps', which is not in output.labels"
    ):
        named(["yes", "perhaps", "no"], [0, 1, 0, 2, 0, 0])
    # Of other names altogether the task's order is meant.
    assert named(["entailed", "not"], [0, 1, 0, 1, 0, 0]) == [0, 1, 0, 1, 0, 0]


def test_labels_that_are_numbers_are_those_of_the_file(write):
    stars = {"type": "classification", "labels": ["1", "2", "3"]}
    write([1, 2, 3, 1, 2, 3], others=(1, 2, 3))
    assert load_splits(task(stars), Scale.FULL, None).train["label"].tolist() == [0, 1, 2, 0, 1, 2]
    write([0, 1, 2, 1, 2, 3], others=(1, 2, 3))
    with pytest.raises(UserError, match=r"row 0 of .*class 0, but output.labels has 3, 1 to 3"):
        load_splits(task(stars), Scale.FULL, None)
    turned = {"type": "classification", "labels": ["1", "0"]}
    write([0, 1, 0, 1, 1, 1])
    assert load_splits(task(turned), Scale.FULL, None).train["label"].tolist() == [1, 0, 1, 0, 0, 0]


def test_a_text_that_is_not_utf_8_is_refused_with_its_row(write):
    write([0, 1, 0, 1, 0, 1])
    offsets = pa.py_buffer(np.array([0, 1, 2, 3], np.int32).tobytes())
    texts = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xffb")])
    table = pa.table({"sentence": texts, "label": [0, 1, 0]})
    pq.write_table(table, write.folder / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match="row 1 of 0 to 2, column 'sentence': is not UTF-8"):
        load_splits(task(CLASSES), Scale.FULL, None)


@pytest.mark.parametrize("kind", ["pipe", "folder", "nowhere", "loop"])
def test_what_is_no_file_is_told_with_the_places_and_not_waited_for(write, kind):
    write([0, 1, 0, 1, 0, 1])
    path = write.folder / "train-00000-of-00001.parquet"
    path.unlink()
    make = {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "nowhere": lambda: path.symlink_to("/nowhere"),
        "loop": lambda: path.symlink_to(path.name),
    }
    make[kind]()
    with pytest.raises(UserError, match=r"\(train-00000-of-00001.parquet is not a regular file\)"):
        load_splits(task(CLASSES), Scale.FULL, None)


def test_files_that_are_not_of_one_table_are_one_line(write, capfd):
    write([0, 1, 0, 1, 0, 1])
    whole = write.folder / "train-00000-of-00001.parquet"
    whole.rename(write.folder / "train-00000-of-00002.parquet")
    other = pd.DataFrame({"text": ["another"], "label": [1]})
    other.to_parquet(write.folder / "train-00001-of-00002.parquet")
    with pytest.raises(UserError, match=r"not the files of one table: .*column names") as raised:
        load_splits(task(CLASSES), Scale.FULL, None)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_rows_are_dropped_by_a_stated_rule_alone(write):
    write([0, -1, 1, -1, 0, 1])
    found = load_splits(task(CLASSES, drop_labels=[-1]), Scale.FULL, None).train
    assert found["label"].tolist() == [0, 1, 0, 1]
    assert found["sentence"] == [TEXTS[row] for row in (0, 2, 4, 5)]


def test_a_split_with_one_answer_or_none_is_refused(write):
    write([0, 1, 0, 1, 0, 1], others=(1, 1, 1))
    with pytest.raises(UserError, match="all 3 answers of validation are 1"):
        load_splits(task(CLASSES), Scale.FULL, None)
    write([-1] * 6)
    with pytest.raises(UserError, match="train of me/rated has no rows, all 6 of them dropped"):
        load_splits(task(CLASSES, drop_labels=[-1]), Scale.FULL, None)
    empty = pd.DataFrame({"sentence": pd.Series([], dtype=str), "label": pd.Series([], dtype=int)})
    empty.to_parquet(write.folder / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet: no rows"):
        load_splits(task(CLASSES), Scale.FULL, None)


def test_test_examples_that_are_in_train_are_refused_unless_the_task_states_them(write):
    seen = ["test 0", "test 1", *(f"text {row}" for row in range(28))]
    write([0, 1] * 15, sentence=seen, others=[0, 1] * 10)
    with pytest.raises(UserError, match=r"2 of 20 test .* in train; .*full\.duplicates: 0\.1$"):
        load_splits(task(CLASSES), Scale.FULL, None)
    with pytest.raises(UserError, match=r"in train, more than duplicates: 0\.05 allows"):
        load_splits(task(CLASSES, duplicates=0.05), Scale.FULL, None)
    splits = load_splits(task(CLASSES, duplicates=0.1), Scale.FULL, None)
    assert splits.note == "2 of 20 test examples are also in train (up to 10.0% are allowed)"


def test_a_class_without_an_example_is_said(write):
    write([1, 2, 1, 2, 1, 2], others=(1, 2, 1, 2))
    three = {"type": "classification", "labels": ["no", "yes", "perhaps"]}
    assert load_splits(task(three), Scale.FULL, None).note == "no example of no"


def test_shards_of_two_versions_are_refused(write):
    write([0, 1, 0, 1, 0, 1])
    whole = write.folder / "train-00000-of-00001.parquet"
    (write.folder / "train-00000-of-00002.parquet").write_bytes(whole.read_bytes())
    (write.folder / "train-00001-of-00002.parquet").write_bytes(whole.read_bytes())
    with pytest.raises(UserError, match="shards of two versions of one split"):
        load_splits(task(CLASSES), Scale.FULL, None)
    whole.unlink()
    found = load_splits(task(CLASSES), Scale.FULL, None).train["label"]
    assert found.tolist() == [0, 1, 0, 1, 0, 1] * 2
    # A split of a longer name is not a shard of this one.
    (write.folder / "train-extra-00000-of-00001.parquet").write_bytes(b"")
    assert np.array_equal(load_splits(task(CLASSES), Scale.FULL, None).train["label"], found)
