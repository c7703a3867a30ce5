"""Files as newcomers bring them: each is read as the library that wrote it reads it, or refused."""

import datetime
import io
import os

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from suite.data.questions import columns_of
from suite.data.sources import load_splits
from suite.errors import UserError
from suite.registry.checks import task_mistakes
from suite.registry.schema import Scale, TaskEntry

TEXTS = [f"text {row}" for row in range(6)]
LABELS = [0, 1, 0, 1, 0, 1]
METRICS = {"multilabel": "micro_f1", "regression": "pearson"}


def task(labels=("no", "yes"), kind="classification", image=False, columns=("sentence",), **source):
    text = {"columns": columns, "template": " ".join(f"{{{name}}}" for name in columns)}
    names = {"train": "train", "validation": "validation", "test": "test"}
    return TaskEntry(
        schema=1,
        name="own",
        track="toy",
        description="For tests.",
        modality="image" if image else "text",
        output={"type": kind, "labels": [*labels]},
        metrics=[METRICS.get(kind, "accuracy")],
        text=None if image else text,
        sources={
            "full": {"hub": "me/own", "split_rule": "named", "splits": names, **source},
        },
        licence="none",
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "datasets" / "me" / "own" / "default"
    folder.mkdir(parents=True)
    return folder


def put(folder, table, shard="train-00000-of-00001"):
    pq.write_table(
        table if isinstance(table, pa.Table) else pa.table(table), folder / f"{shard}.parquet"
    )


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def shade(grey):
    return encoded(Image.new("L", (16, 16), grey))


def read(folder, train, entry, others=None):
    """The train split, beside two splits of the same kind of answers."""
    put(folder, train)
    answers = {"label": [0, 1]} if others is None else others
    for split in ("validation", "test"):
        inputs = {"sentence": [f"{split} 0", f"{split} 1"], "image": [shade(len(split)), shade(0)]}
        put(folder, inputs | answers, f"{split}-00000-of-00001")
    return load_splits(entry, Scale.FULL, 16).train


def named(names, label):
    kind = {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    rows = datasets.Dataset.from_dict({"sentence": TEXTS, "label": label}, datasets.Features(kind))
    return rows.data.table


READ = {
    "dictionary of texts": pa.array(["no", "yes"] * 3).dictionary_encode(),
    "large texts": pa.array(["no", "yes"] * 3, pa.large_string()),
    "text views": pa.array(["no", "yes"] * 3, pa.string_view()),
    "bytes": pa.array(LABELS, pa.uint8()),
    "half floats": pa.array(np.array(LABELS, np.float16)),
    "unsigned": pa.array(LABELS, pa.uint64()),
    "truths": pa.array([False, True] * 3),
    "pandas categories": pa.array(pd.Series(["no", "yes"] * 3, dtype="category")),
    "several row groups": pa.chunked_array([LABELS[:2], LABELS[2:]]),
}


@pytest.mark.parametrize("kind", READ)
def test_a_column_of_another_type_means_the_same(folder, kind):
    sentence = pa.array(TEXTS).dictionary_encode() if "dictionary" in kind else TEXTS
    found = read(folder, {"sentence": sentence, "label": READ[kind]}, task())
    assert (found["label"].tolist(), found["sentence"]) == (LABELS, TEXTS)


REFUSED = {
    "decimals": ("label", pa.array(LABELS, pa.decimal128(5, 0)), "row 0 .*Decimal.* is no class"),
    "bytes": ("label", [b"no", b"yes"] * 3, "row 0 .*b'no' is no class"),
    "dates": ("label", [datetime.datetime(2020, 1, 1)] * 6, "row 0 .*is no class"),
    "huge": ("label", pa.array([0, 1, 2**64 - 1, 0, 1, 0], pa.uint64()), "row 2 .*class 1844674"),
    "nothing": ("label", pa.nulls(6), "row 0 .*null is no class"),
    "spaces": ("label", ["no", "yes "] * 3, "row 1 .*did you mean 'yes'"),
    "lists": ("label", [[0]] * 6, r"row 0 .*\[0\] is no class"),
    "tokens": ("sentence", [[text] for text in TEXTS], "row 0 .*not a text but"),
    "encoded": ("sentence", [text.encode() for text in TEXTS], "row 0 .*not a text but b'text 0'"),
    "windows": ("sentence", pa.array([b"caf\xe9"] * 6).view(pa.string()), "row 0 .*UTF-8"),
    "times": ("sentence", [datetime.datetime(2020, 1, 1)] * 6, "row 0 .*not a text"),
    "parts": ("sentence", [{"a": text} for text in TEXTS], "row 0 .*not a text"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_column_that_does_not_say_what_is_meant_is_refused_by_row(folder, kind):
    column, values, message = REFUSED[kind]
    table = {"sentence": TEXTS, "label": LABELS} | {column: values}
    with pytest.raises(UserError, match=f"train, .*column '{column}'.*") as raised:
        read(folder, table, task())
    assert raised.match(message)


def test_truth_values_and_numbers_are_the_labels_of_their_name(folder):
    """Whatever the order of the task's labels, which may not be that of a file."""
    truths = {"sentence": ["a", "b"], "label": [True, False]}
    found = read(folder, truths, task(["true", "false"]), {"label": [True, False]})
    assert found["label"].tolist() == [0, 1]
    # Without a -1 among them, 0 is not the first label.
    found = read(folder, {"sentence": TEXTS, "label": LABELS}, task(["-1", "0", "1"]))
    assert found["label"].tolist() == [1, 2, 1, 2, 1, 2]
    halves = {"sentence": TEXTS[:3], "label": [1.5, 0.5, 1.0]}
    other = {"label": [0.5, 1.0]}
    assert read(folder, halves, task(["0.5", "1", "1.5"]), other)["label"].tolist() == [2, 0, 1]
    with pytest.raises(UserError, match=r"row 2 .*class 2, but output.labels has 3, 0.5 to 1.5"):
        read(folder, halves | {"label": [1.5, 0.5, 2.0]}, task(["0.5", "1", "1.5"]), other)


def test_names_that_are_spelled_otherwise_are_not_taken_for_other_names(folder):
    with pytest.raises(UserError, match=r"0 is 'Yes', which is not in .*; did you mean 'yes'"):
        read(folder, named(["Yes", "No"], LABELS), task())


def test_rows_are_dropped_by_the_name_of_their_label_and_numbered_as_in_the_file(folder):
    three = named(["no", "yes", "other"], [0, 2, 1, 2, 0, 1])
    assert read(folder, three, task(drop_labels=["other"]))["sentence"] == [
        TEXTS[row] for row in (0, 2, 4, 5)
    ]
    table = {"sentence": [*TEXTS[:5], None], "label": [-1, -1, 0, 1, 7, 1]}
    with pytest.raises(UserError, match="row 4 of 0 to 5, column 'label': class 7"):
        read(folder, table, task(drop_labels=[-1]))
    with pytest.raises(UserError, match="row 5 of 0 to 5, column 'sentence': no text"):
        read(folder, table | {"label": [-1, -1, 0, 1, 0, 1]}, task(drop_labels=[-1]))


TOXIC = ("toxic", "obscene", "threat")
JIGSAW = {
    "sentence": TEXTS, "toxic": LABELS, "obscene": [True, False] * 3, "threat": [0.0, 1.0] * 3,
}  # fmt: skip
OTHER = {"toxic": [1, 0], "obscene": [0, 0], "threat": [0, 1]}


def test_a_column_of_each_label_is_read_as_pandas_reads_it(folder):
    entry = task(TOXIC, "multilabel", label=TOXIC)
    found = read(folder, JIGSAW, entry, OTHER)["label"]
    assert np.array_equal(found, pd.DataFrame(JIGSAW)[[*TOXIC]].astype(int))
    assert found.dtype == np.uint8
    with pytest.raises(UserError, match=r"row 5 of .*, column 'threat': 0\.3 is neither 0 nor 1"):
        read(folder, JIGSAW | {"threat": [0, 1, 0, 1, 0, 0.3]}, entry, OTHER)
    # As the test rows of the Jigsaw data that nobody scored.
    hidden = JIGSAW | {name: [-1, *JIGSAW[name][1:]] for name in ("toxic", "threat")}
    with pytest.raises(UserError, match=r"row 0 .*'toxic': -1 is neither .*drop_labels: \[-1\]"):
        read(folder, hidden, entry, OTHER)
    dropping = task(TOXIC, "multilabel", label=TOXIC, drop_labels=[-1])
    assert read(folder, hidden, dropping, OTHER)["label"].tolist() == found[1:].tolist()


MISTAKES = {
    "other order": (task(TOXIC, "multilabel", label=TOXIC[::-1]), "another order"),
    "too few": (task(TOXIC, "multilabel", label=TOXIC[:2]), "2 columns for 3 labels"),
    "twice": (task(TOXIC, "multilabel", label=["toxic"] * 3), "'toxic' is listed twice"),
    "one label": (task(TOXIC, label=TOXIC), "are for multilabel, not classification"),
    "input": (task(label="sentence"), "'sentence' is an input of the task"),
    "image": (task(image=True, label="image"), "'image' is an input"),
    "text": (task(columns=("label",), label="stars"), "no text can be called 'label'"),
    "validation": (
        task(splits={"train": "train", "validation": "test", "test": "test"}),
        "'test' is the validation split already",
    ),
    "halves": (task(split_rule="halve_validation", splits={"train": "validation"}), "train split"),
    "carved": (task(split_rule="carve_from_train", splits={"test": "train"}), "train split"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_source_that_would_score_what_it_trained_on_is_a_mistake(case):
    entry, said = MISTAKES[case]
    assert any(said in message for _, message in task_mistakes(entry))


def test_shards_are_one_table_or_refused(folder):
    table = {"sentence": TEXTS, "label": LABELS}
    read(folder, table, task())
    (folder / "train-00000-of-00001.parquet").unlink()
    first, second = "train-00000-of-00002", "train-00001-of-00002"
    put(folder, table, first)
    # One of no rows, and one with its columns in another order.
    put(folder, pa.table(table).slice(0, 0), second)
    assert load_splits(task(), Scale.FULL, None).train["label"].tolist() == LABELS
    put(folder, pa.table(table).select(["label", "sentence"]), second)
    assert load_splits(task(), Scale.FULL, None).train["sentence"] == TEXTS * 2
    for other, said in (
        (table | {"label": ["0", "1"] * 3}, "'label' has numbers in .*, but texts in"),
        (named(["yes", "no"], LABELS), "'label' has numbers in .*, but labels yes, no in"),
    ):
        put(folder, other, second)
        with pytest.raises(UserError, match=f"not the files of one table: column {said}"):
            load_splits(task(), Scale.FULL, None)
    (folder / f"{second}.parquet").rename(folder / "train-00004-of-00002.parquet")
    with pytest.raises(UserError, match=r"lacks train; there is .*train-00004-of-00002"):
        load_splits(task(), Scale.FULL, None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.csv", b"sentence,label\na,1\n", "(lacks train; there is train.csv)"),
        ("Train-00000-of-00001.parquet", b"", "there is Train-00000-of-00001.parquet)"),
        ("train-00000-of-00001.parquet", b"sentence,label\na,1\n", "not a whole parquet file"),
        ("train-00000-of-00001.parquet", b"", "not a whole parquet file"),
        ("train-00000-of-00001.parquet", b"PAR1" + bytes(99) + b"PAR1", "not a whole parquet file"),
    ],
)
def test_what_is_no_parquet_is_one_line_with_its_name(folder, name, content, said):
    read(folder, {"sentence": TEXTS, "label": LABELS}, task())
    (folder / "train-00000-of-00001.parquet").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        load_splits(task(), Scale.FULL, None)
    assert said in str(raised.value) and name in str(raised.value)


def test_a_damaged_page_foreign_metadata_and_equal_names_are_one_line(folder):
    table = pa.table({"sentence": TEXTS, "label": LABELS})
    read(folder, table, task())
    path = folder / "train-00000-of-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 20 + whole[len(whole) // 2 + 20 :])
    with pytest.raises(UserError, match=r"not a whole parquet file: .*train-00000"):
        load_splits(task(), Scale.FULL, None)
    for metadata in (b"not JSON", b'{"info": {"features": {"sentence": {"_type": "Nope"}}}}'):
        put(folder, table.replace_schema_metadata({b"huggingface": metadata}))
        with pytest.raises(UserError, match=r"not a whole parquet file: .*train-00000"):
            load_splits(task(), Scale.FULL, None)
    twice = pa.Table.from_arrays([*table.columns, table["label"]], ["sentence", "label", "label"])
    put(folder, twice)
    with pytest.raises(UserError, match=r"parquet: two columns are called label$"):
        load_splits(task(), Scale.FULL, None)


def test_another_version_with_the_same_name_and_time_is_read(folder):
    """As of an archive that gives all its files one time."""
    for text in ("first", "other"):
        put(folder, {"sentence": [f"{text} 0", f"{text} {'x' * len(text)}"], "label": [0, 1]})
        for path in folder.iterdir():
            os.utime(path, (1e9, 1e9))
        table = pq.read_table(folder / "train-00000-of-00001.parquet")
        found = read(folder, table, task())
        os.utime(folder / "train-00000-of-00001.parquet", (1e9, 1e9))
        assert found["sentence"] == table["sentence"].to_pylist()


def picture(mode="RGB"):
    grey = np.zeros((16, 16, 3), np.uint8)
    grey[:8, :8] = 250
    return Image.fromarray(grey).convert(mode)


HELD = Image.Exif()
HELD[0x0112] = 6
FILES = {
    "upright": encoded(picture(), "JPEG", quality=100),
    "jpeg": encoded(picture(), "JPEG", quality=100, exif=HELD),
    "cmyk": encoded(picture("CMYK"), "JPEG", quality=100, exif=HELD),
    "png": encoded(picture(), "PNG", exif=HELD),
    "webp": encoded(picture(), "WEBP", lossless=True, exif=HELD),
    "tiff": encoded(picture(), "TIFF", exif=HELD),
    "animation": encoded(picture("P"), "GIF", save_all=True, append_images=[picture("P")]),
    "one bit": encoded(picture("1"), "PNG"),
    "bitmap": encoded(picture(), "BMP"),
    "icon": encoded(picture(), "ICO", sizes=[(16, 16)]),
    "jpeg 2000": encoded(picture(), "JPEG2000"),
    "portable": encoded(picture(), "PPM"),
}


def images(folder, values):
    """The pixels of a train split, the second of whose images is a plain one."""
    table = pa.table({"image": pa.array(values, pa.binary()), "label": [0, 1][: len(values)]})
    train = read(folder, table, task(image=True))
    return np.concatenate([*train["image"].chunks()])


PLAIN = shade(99)


@pytest.mark.parametrize("kind", FILES)
def test_an_image_is_seen_as_pillow_shows_it_upright(folder, kind):
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(FILES[kind]))).convert("RGB")
    found = images(folder, [FILES[kind], PLAIN])[0]
    assert np.array_equal(found, np.asarray(shown))
    asked = columns_of(task(image=True), [Image.open(io.BytesIO(FILES[kind]))], 16)
    assert np.array_equal(asked["image"][0], found)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (encoded(Image.fromarray(np.ones((16, 16), np.int32)), "TIFF"), "32 bits"),
        (encoded(picture(), "JPEG")[:300], "is no whole image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is no"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no image"),
        (encoded(Image.new("1", (20_000, 20_000)), "PNG"), "decompression bomb"),
        (b"", "is no image"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_seen_is_refused_with_its_row(folder, value, said):
    with pytest.raises(UserError, match=f"train, row 1 of 0 to 1, column 'image': .*{said}"):
        images(folder, [PLAIN, value])


def test_a_copy_of_the_validation_split_is_no_test_split(folder):
    table = {"sentence": ["a", "b"], "label": [0, 1]}
    with pytest.raises(UserError, match="the 2 test examples are those of validation"):
        read(folder, {"sentence": TEXTS, "label": LABELS}, task(), table)
