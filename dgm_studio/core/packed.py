"""A picture with erased pixels as one short text: what a request holds where a hand has drawn or rubbed out.

Nested tuples of ten thousand numbers took longer to build, compare and write than a whole answer does; a text is made
in microseconds, is JSON as it stands, and two equal pictures make the same one.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np
import numpy.typing as npt

ERASED = -1
LARGEST_SIDE = 4096
Drawn = npt.NDArray[np.int16]


def pack(picture: npt.NDArray[Any]) -> str:
    """A picture as text: "HEIGHTxWIDTH:pixels:erased", both in base64; "HEIGHTxWIDTHx3:..." for colours.

    Args:
        picture: Whole numbers from 0 to 255, or -1 where it is erased, [H, W] or [H, W, 3]; a pixel of a colour picture
            is erased as a whole.

    Raises:
        ValueError: Another shape, or numbers that are no bytes.

    >>> pack(np.array([[0, 255], [-1, 7]]))
    '2x2:AP8ABw==:IA=='
    """
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] != 3) or not picture.size:
        raise ValueError(f"a picture is [H, W] or [H, W, 3], not {list(picture.shape)}")
    if picture.min() < ERASED or picture.max() > 255:
        raise ValueError("a picture holds bytes, and -1 where it is erased")
    gone = np.asarray(picture < 0)
    whole = gone.any(2) if picture.ndim == 3 else gone
    shown = picture.astype(np.uint8)
    shown[whole] = 0
    size = "x".join(map(str, picture.shape))
    erased = _text(np.packbits(whole).tobytes()) if whole.any() else ""
    return f"{size}:{_text(shown.tobytes())}:{erased}"


def unpack(text: str) -> Drawn:
    """The inverse: int16 [H, W] or [H, W, 3], -1 where it is erased.

    Raises:
        ValueError: It is no such text.
    """
    size, pixels, erased = _parts(text)
    height, width = size[:2]
    found = np.frombuffer(_bytes(pixels), np.uint8)
    if found.size != math.prod(size):
        raise ValueError("a packed picture has as many pixels as it says")
    picture = found.reshape(size).astype(np.int16)
    if erased:
        marks = np.frombuffer(_bytes(erased), np.uint8)
        if marks.size != -(-height * width // 8):
            raise ValueError("a packed picture says of every pixel whether it is erased")
        picture[np.unpackbits(marks, count=height * width).reshape(height, width).astype(bool)] = ERASED
    return picture


def drawn(value: Any) -> Drawn:
    """A picture of a request, packed or as rows of numbers, as an array.

    Raises:
        ValueError: It is neither.
    """
    return unpack(value) if isinstance(value, str) else np.asarray(value, np.int16)


def _parts(text: str) -> tuple[tuple[int, ...], str, str]:
    words = text.split(":")
    sides = words[0].split("x")
    if len(words) != 3 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ValueError("a packed picture is its size, its pixels and what is erased, with colons between")
    size = tuple(int(side) for side in sides)
    if len(size) not in (2, 3) or size[2:] not in ((), (3,)) or not all(0 < side <= LARGEST_SIDE for side in size):
        raise ValueError(f"{words[0]} is no size of a picture")
    return size, words[1], words[2]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a packed picture is written in base64") from error
