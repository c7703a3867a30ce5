"""Every night: images and tables with bytes changed at random are read or refused."""

import io
import random
import warnings
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from suite.data.orientation import as_seen
from suite.data.pictures import Pictures
from suite.data.tables import read_table
from suite.errors import UserError

FORMS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "ICO", "JPEG2000")


def mutated(content, rng):
    content = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        content[rng.randrange(min(len(content), rng.choice((30, 300, 10**6))))] = rng.randrange(256)
    return bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)


def _seen(content, row):
    return as_seen(content)


def _problem(row, what):
    return UserError(what)


@pytest.mark.nightly
@pytest.mark.parametrize("form", FORMS)
def test_a_mutated_image_is_an_image_or_refused(form):
    rng = random.Random(form)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 8
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    Image.fromarray(noise).save(file, form, exif=exif)
    for _ in range(100):
        content = mutated(file.getvalue(), rng)
        read = Pictures(np.arange(1), partial(_seen, content), _problem, 8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert [chunk.shape for chunk in read.chunks()] == [(1, 8, 8, 3)]
            except UserError as error:
                assert "\n" not in str(error)
            except ValueError as error:
                assert "32 bits" in str(error)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_table_is_a_table_or_one_line(tmp_path, monkeypatch, seed):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    rng = random.Random(seed)
    path = tmp_path / "train-00000-of-00001.parquet"
    table = pa.table({"sentence": [f"text {n}" for n in range(50)], "label": [0, 1] * 25})
    pq.write_table(table, path)
    whole = path.read_bytes()
    for number in range(10):
        path.write_bytes(mutated(whole, rng))
        try:
            assert 0 < len(read_table([path], f"{seed}-{number}")) <= 50
        except UserError as error:
            assert "\n" not in str(error) and path.name in str(error)
