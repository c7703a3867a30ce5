"""Images of a data set's rows: decoded, brought to 8-bit RGB and to one size, a chunk at a time.

A split of large images does not fit into memory, so `Pictures` stands for it: an encoded image is
decoded when its row is read.
"""

import hashlib
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from suite.errors import UserError

CHUNK = 256
"""Images decoded at once."""
LONGEST = 100
"""How often the shorter side may go into the longer one."""
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for bytes that are no image, or not a whole one."""
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclass(frozen=True)
class Pictures:
    """The images of some rows as uint8 [N, size, size, 3], decoded on reading.

    `read` gives the encoded bytes of a row, and `problem` the error that names it.
    """

    rows: np.ndarray
    read: Callable[[int], object]
    problem: Callable[[int, str], UserError]
    size: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[N, size, size, 3]."""
        return len(self), self.size, self.size, 3

    def take(self, positions: np.ndarray) -> "Pictures":
        """Some of the images, by their position among these."""
        return Pictures(self.rows[positions], self.read, self.problem, self.size)

    def chunks(self) -> Iterator[np.ndarray]:
        """All images in their order, uint8 [at most CHUNK, size, size, 3] at a time."""
        for start in range(0, len(self), CHUNK):
            rows = self.rows[start : start + CHUNK]
            yield np.stack([self._image(int(row)) for row in rows])

    def fingerprints(self) -> Sequence[bytes]:
        """A digest of the encoded bytes of every image: equal for copies of a file."""
        return [hashlib.blake2b(self._bytes(int(row))).digest() for row in self.rows]

    def _bytes(self, row: int) -> bytes:
        value = self.read(row)
        found = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(found, bytes):
            path = value.get("path") if isinstance(value, dict) else None
            where = f", only the path {path}" if path else ""
            raise self.problem(row, f"holds no image bytes{where}")
        return found

    def _image(self, row: int) -> np.ndarray:
        encoded = self._bytes(row)
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                return resized(as_rgb(image), self.size)
        except UnidentifiedImageError:
            raise self.problem(row, f"is no image ({encoded[:12]!r}...)") from None
        except DAMAGED as error:
            raise self.problem(row, f"is no whole image ({error})") from None


def as_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: 16 bits are scaled down, and what is transparent lies on white.

    Raises ValueError for pixels whose range cannot be known (floating point, 32 bits).
    """
    if image.mode in _SIXTEEN_BIT:
        pixels = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(np.round(pixels).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        pixels = np.asarray(image)
        # Pillow opens 16-bit PNGs as 32-bit numbers in some of its versions.
        if image.mode == "I" and pixels.min() >= 0 and pixels.max() < 2**16:
            return Image.fromarray(np.round(pixels / 257).astype(np.uint8)).convert("RGB")
        raise ValueError(f"pixels of mode {image.mode} have no known range; store 8 or 16 bits")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        front = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front).convert("RGB")
    return image.convert("RGB")


def resized(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to `size`, then the central square: uint8 [size, size, 3].

    Raises ValueError for a strip, of which `size` would make more pixels than memory has.
    """
    if max(image.size) > LONGEST * min(image.size):
        raise ValueError(f"{image.width} x {image.height} pixels: a strip, and no picture")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)))
