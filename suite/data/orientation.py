"""Image files that say themselves how their pixels are to be seen."""

import io

from PIL import Image, ImageOps

_MARKS = (b"Exif", b"eXIf", b"EXIF")
"""One of them is in a file that says how its camera was held."""
_SCALED = ("PNG", "PPM")
"""Formats of which Pillow gives 16 bits as numbers of 32."""
_ORIENTATION = 0x0112
"""The tag of EXIF; 1 is upright."""


def as_seen(value: object) -> object:
    """The value of a row, its image turned as its EXIF data say and encoded anew without loss; any
    other value, and what is no image, as it is.

    Raises ValueError for pixels of 32 bits, whose range cannot be known.
    """
    encoded = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(encoded, bytes):
        return value
    marked = any(mark in encoded for mark in _MARKS)
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            wide = image.mode == "I" and image.format not in _SCALED
            turned = marked and image.getexif().get(_ORIENTATION, 1) != 1
            if turned and not wide:
                file = io.BytesIO()
                ImageOps.exif_transpose(image).save(file, "TIFF")
                return file.getvalue()
    except Exception:
        return value  # The reader of images says what is wrong with it.
    if wide:
        raise ValueError("has pixels of 32 bits, which have no known range; store 8 or 16 bits")
    return value
