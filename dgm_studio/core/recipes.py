"""What an exported file was made from: written into it, and read back when it is dropped on the window.

A recipe is one line of JSON that begins with a fixed key, in ASCII and without the characters that XML reserves. Every
format carries that line as it is (a PNG text chunk, a GIF comment, XMP in WebP, the comment of an MP4, an array of an
npz, the metadata element of an SVG), so it is found by looking for its first bytes: no decoder is ever run on a file
that a stranger has sent, and nothing in a recipe is executed.
"""

from __future__ import annotations

import importlib.metadata
import json
import mmap
import platform
import pprint
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dgm_studio
from dgm_studio.core import cards, requests
from dgm_studio.core.cards import ModelCard
from dgm_studio.core.updates import Problem

RECIPE_VERSION = 1
KEY = "dgm-studio recipe"
MARK = f'{{"{KEY}": '.encode()
LONGEST = 2**20  # bytes of a recipe
LARGEST_FILE = 2**32  # bytes that are looked through
MOST_MARKS = 16
ENDINGS = (".png", ".gif", ".webp", ".mp4", ".npz", ".svg")
_DAMAGED = "Choose the file as DGM Studio wrote it: mail and chat programs often strip what is inside."


@dataclass(frozen=True)
class Recipe:
    """All that is needed to make a picture again.

    Args:
        request: `to_json` of the request whose Frames are shown; empty when only the panel's state is kept.
        model: Key of the model.
        sha256: Of the model's tensors.
        step: Of the model.
        theme: "light" or "dark".
        scale: Enlargement of each picture.
        seconds: Of one loop of a film.
        panel: Name of the panel.
        state: The panel's state.
        versions: Of the program and what it stands on.
    """

    request: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    sha256: str = ""
    step: int = 0
    theme: str = "light"
    scale: int = 1
    seconds: float = 3.0
    panel: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def asked(self) -> Any:
        """The request itself.

        Raises:
            Problem: There is none, or this version does not know it.
        """
        if not self.request:
            raise Problem("This recipe holds a panel's state and no request.", "Open it in the window.")
        return requests.from_json(self.request)


@cache
def versions() -> dict[str, str]:
    """What the pictures of this process are made with."""
    found = {"dgm_studio": dgm_studio.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy"):
        found[name] = importlib.metadata.version(name)
    return found


def recipe_of(
    asked: Any,
    card: ModelCard | None,
    *,
    theme: str = "light",
    scale: int = 1,
    seconds: float = 3.0,
    panel: str = "",
    state: dict[str, Any] | None = None,
) -> Recipe:
    """The recipe of what a request shows now.

    Args:
        asked: The request; None when only the panel's state is kept.
        card: The model it asks; None for requests that ask none.
        theme: "light" or "dark".
        scale: Enlargement of each picture.
        seconds: Of one loop of a film.
        panel: Name of the panel.
        state: The panel's state.
    """
    return Recipe(
        request=requests.to_json(asked) if asked is not None else {},
        model=card.key if card is not None else "",
        sha256=card.sha256 if card is not None else "",
        step=card.step if card is not None else 0,
        theme=theme,
        scale=scale,
        seconds=seconds,
        panel=panel,
        state=dict(state or {}),
        versions=dict(versions()),
    )


def to_text(recipe: Recipe) -> str:
    """The recipe as one line that may stand in any format.

    Raises:
        Problem: It is too long to be read back.
    """
    plain = {KEY: RECIPE_VERSION, **cards.as_json(recipe)}
    text = json.dumps(plain, ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    if len(text) > LONGEST:
        raise Problem("What is shown here is too much to be written into a file.", "Export fewer points at once.")
    return text


def from_text(text: str) -> Recipe:
    """The recipe at the beginning of a text; what follows it is ignored.

    Raises:
        Problem: None is there, it is damaged, or it is of a newer version.
    """
    try:
        plain, _ = json.JSONDecoder(parse_constant=_refuse).raw_decode(text)
        version = plain.pop(KEY)
    except (ValueError, KeyError, AttributeError, RecursionError):
        raise Problem("The recipe in this file is damaged.", _DAMAGED) from None
    if type(version) is not int or version < 1:
        raise Problem("The recipe in this file is damaged.", _DAMAGED)
    if version > RECIPE_VERSION:
        sentence = f"The recipe in this file has version {version}; this program reads up to version {RECIPE_VERSION}."
        raise Problem(sentence, "Update DGM Studio to open it.")
    known = vars(Recipe())
    given = {name: value for name, value in plain.items() if name in known}
    for name, value in given.items():
        allowed = (int, float) if isinstance(known[name], float) else type(known[name])
        if not isinstance(value, allowed):
            raise Problem("The recipe in this file is damaged.", _DAMAGED)
    recipe = Recipe(**given)
    if recipe.request:
        recipe.asked()
    return recipe


def _refuse(word: str) -> float:
    raise ValueError(word)


# -- into and out of files ---------------------------------------------------------------------------------------------


def embed(data: bytes, ending: str, recipe: Recipe) -> bytes:
    """A finished PNG, GIF or SVG with its recipe inside; pixels and drawing stay as they are.

    Args:
        data: The file.
        ending: ".png", ".gif" or ".svg".
        recipe: What to write into it.

    Raises:
        ValueError: Another format, or not a file of it.
    """
    text = to_text(recipe).encode("ascii")
    if ending == ".png" and data[:8] == b"\x89PNG\r\n\x1a\n":
        return data[:33] + _png_chunk(b"tEXt", KEY.encode() + b"\0" + text) + data[33:]
    if ending == ".gif" and data[:4] == b"GIF8" and data[-1:] == b";":
        blocks = b"".join(bytes([len(b)]) + b for b in _cut(text, 255))
        return data[:-1] + b"\x21\xfe" + blocks + b"\0;"
    if ending == ".svg" and b"<svg" in data:
        at = data.index(b">", data.index(b"<svg")) + 1
        return data[:at] + b"<metadata>" + text + b"</metadata>" + data[at:]
    raise ValueError(f"this is no {ending} file that could carry a recipe")


def xmp(recipe: Recipe) -> bytes:
    """The recipe as an XMP packet, as WebP carries it."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>'
        f"{to_text(recipe)}</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode("ascii")


def read_recipe(path: Path | str) -> Recipe | None:
    """The recipe in a file, None when it carries none.

    Raises:
        Problem: No such file, or a recipe that is damaged or of a newer version.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > LARGEST_FILE:
                raise Problem(f"{path.name} is too large to be looked through.", "Choose an exported picture.")
            if size == 0:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                texts = list(_texts(data))
    except OSError as error:
        raise Problem(f"{path} cannot be read ({error.strerror or error}).", "Choose another file.") from error
    failure: Problem | None = None
    for text in texts:
        try:
            return from_text(text.decode("ascii", "replace"))
        except Problem as problem:
            failure = problem
    if failure is not None:
        raise failure
    return None


def _texts(data: mmap.mmap) -> Iterator[bytes]:
    """What begins like a recipe, at most `LONGEST` bytes each; the blocks of a GIF's comment are put together."""
    at = -1
    for _ in range(MOST_MARKS):
        at = data.find(MARK, at + 1)
        if at < 0:
            return
        if data[:4] == b"GIF8":
            yield _blocks(data, at - 1)
        yield data[at : at + LONGEST]


def _blocks(data: mmap.mmap, at: int) -> bytes:
    """The sub-blocks from `at` on, each a length and as many bytes, up to the empty one."""
    found = bytearray()
    while 0 <= at < len(data) and len(found) < LONGEST:
        length = data[at]
        if not length:
            break
        found += data[at + 1 : at + 1 + length]
        at += 1 + length
    return bytes(found)


def _cut(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# -- as Python ---------------------------------------------------------------------------------------------------------


def as_python(recipe: Recipe) -> str:
    """A script that makes the picture again. Every value in it is a literal: a recipe cannot smuggle code in.

    Raises:
        Problem: The recipe holds no request, or one that this version does not know.
    """
    asked = recipe.asked()
    name = type(asked).__name__
    lines = [f"    {f}={_literal(v, 8)}," for f, v in vars(asked).items() if v != _default(type(asked), f)]
    made = ", ".join(f"{k} {v}" for k, v in sorted(recipe.versions.items()) if k.isidentifier() and _plain(v))
    return "\n".join(
        [
            f"# Makes a picture of DGM Studio again{f' (made with {made})' if made else ''}.",
            "import sys",
            "",
            "from dgm_studio import save",
            f"from dgm_studio.core.requests import {', '.join(sorted({name, *_parts(asked)}))}",
            "",
            f"asked = {name}(",
            *lines,
            ")",
            f'path = sys.argv[1] if len(sys.argv) > 1 else "{_file_name(recipe.model)}.png"',
            f"save(asked, path, theme={recipe.theme!r}, scale={recipe.scale!r}, "
            f"seconds={recipe.seconds!r}, sha256={recipe.sha256!r})",
            "",
        ]
    )


def _parts(asked: Any) -> set[str]:
    """The classes of the values that are more than plain data, however deep they lie."""
    if isinstance(asked, tuple | list):
        return {name for value in asked for name in _parts(value)}
    if not is_dataclass(asked):
        return set()
    return {type(asked).__name__, *_parts(list(vars(asked).values()))}


def _default(kind: type[Any], name: str) -> Any:
    return getattr(kind, name, _default)  # a field without a default has no class attribute, and equals nothing


def _literal(value: Any, indent: int) -> str:
    text = pprint.pformat(value, width=110 - indent, compact=True, sort_dicts=False)
    return text.replace("\n", "\n" + " " * indent)


def _plain(version: str) -> bool:
    return len(version) < 40 and all(c.isalnum() or c in ".+-" for c in version)


def _file_name(key: str) -> str:
    plain = "".join(c for c in key.rpartition("/")[2].rpartition(":")[2] if c.isalnum() or c in "-_")
    return plain or "picture"
