"""The page of an exported model makes of a picture what the suite made of it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from suite.data.pictures import as_rgb, resized
from suite.export.loading import PIXELS

SIZE = 8


def picture(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 256)
    if mode == "turned":
        image = Image.fromarray(pixels[..., :3])
        image.getexif()[0x0112] = 6
        return image
    if mode == "P with a transparent colour":
        image = Image.fromarray(pixels[..., 0] % 4, "P")
        image.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 0, 255, 255, 255])
        image.info["transparency"] = 2
        return image
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "LA", "L", "I;16", "turned", "P with a transparent colour"]
)
def test_pixels_are_those_that_were_scored(mode):
    names = {
        "np": np, "torch": torch, "Image": Image, "ImageOps": ImageOps,
        "size": SIZE, "mean": 0.0, "std": 1.0,
    }  # fmt: skip
    exec("\n".join(PIXELS), names)
    own = resized(as_rgb(ImageOps.exif_transpose(picture(mode))), SIZE)
    found = (names["pixels"](picture(mode)) * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, own)
