"""Images of every kind become 8-bit RGB, or are refused with their row."""

import io

import numpy as np
import pytest
from PIL import Image

from suite.data.pictures import CHUNK, Pictures, as_rgb
from suite.errors import UserError

GREY = np.linspace(0, 255, 64).reshape(8, 8).round().astype(np.uint8)


def png(image):
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def pictures(values, size=8):
    def problem(row, what):
        return UserError(f"row {row} {what}")

    return Pictures(np.arange(len(values)), values.__getitem__, problem, size)


def pixels(values, size=8):
    return np.concatenate(list(pictures(values, size).chunks()))


def test_16_bits_are_scaled_to_8():
    sixteen = Image.fromarray(GREY.astype(np.uint16) * 257)
    found = pixels([{"bytes": png(sixteen), "path": None}])[0]
    assert np.array_equal(found, np.stack([GREY] * 3, -1))


def test_what_is_transparent_lies_on_white():
    layers = np.zeros((8, 8, 4), np.uint8)
    layers[..., 3] = GREY
    found = pixels([png(Image.fromarray(layers))])[0]
    assert np.array_equal(found[..., 0], 255 - GREY)


def test_palettes_keep_their_colours_and_their_transparency():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 10, 20])
    assert (pixels([png(image)])[0] == (200, 10, 20)).all()
    image.info["transparency"] = 1
    assert (pixels([png(image)])[0] == 255).all()


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert as_rgb(image).getpixel((0, 0)) == (255, 0, 0)


def test_pixels_without_a_known_range_are_refused():
    with pytest.raises(ValueError, match="mode F"):
        as_rgb(Image.fromarray(GREY.astype(np.float32)))
    with pytest.raises(ValueError, match="mode I"):
        as_rgb(Image.fromarray(GREY.astype(np.int32) * 10**6))


WHOLE = png(Image.fromarray(GREY))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"bytes": WHOLE[:60], "path": None}, "is no whole image"),
        ({"bytes": b"GIF", "path": None}, r"is no image \(b'GIF'"),
        (b"<html></html>", r"is no image \(b'<html></html"),
        (png(Image.new("L", (1, 20_000))), "is no whole image .1 x 20000 pixels: a strip"),
        ({"bytes": None, "path": "cat.png"}, "holds no image bytes, only the path cat.png"),
        (None, "holds no image bytes"),
        ("cat.png", "holds no image bytes"),
    ],
)
def test_what_is_no_image_is_named_with_its_row(value, message):
    with pytest.raises(UserError, match=f"row 1 {message}"):
        pixels([WHOLE, value])


def test_chunks_together_are_all_rows_in_their_order():
    shades = [png(Image.new("L", (2, 2), row % 256)) for row in range(CHUNK + 3)]
    chosen = pictures(shades, 2).take(np.arange(CHUNK + 3)[::-1])
    found = np.concatenate(list(chosen.chunks()))
    assert found.shape == chosen.shape
    assert found[:, 0, 0, 0].tolist() == [row % 256 for row in range(CHUNK + 3)][::-1]
