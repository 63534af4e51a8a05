"""Surfaces too large for memory: bricks go to a PLY file on disk as they come, sewn together on the way.

What stays in memory is one brick and the seam, a line's worth of vertices. Faces wait in a file beside until all
vertices are written, since the format wants these first; both files vanish when the work is stopped.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from dgm_studio.core.atomic import settle
from dgm_studio.core.updates import Problem
from dgm_studio.rendering.bricks import Piece
from dgm_studio.rendering.culling import Grid, Tally
from dgm_studio.rendering.extraction import parts
from dgm_studio.rendering.field import Certainty, Field
from dgm_studio.rendering.welding import Seam

FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
COPIED = 1 << 22  # bytes at once
HEADER = (
    "ply\nformat binary_little_endian 1.0\ncomment {comment}\nelement vertex {vertices:<12d}\n"
    "property float x\nproperty float y\nproperty float z\nelement face {faces:<12d}\n"
    "property list uchar int vertex_indices\nend_header\n"
)


@dataclass(frozen=True)
class Streamed:
    """A surface on disk.

    Args:
        path: The file.
        vertices: How many.
        faces: How many.
        evaluations: Points asked.
        certified: Whether it is proved that nothing is missing on this grid; else it was audited.
        bytes: Of the file.
    """

    path: Path
    vertices: int
    faces: int
    evaluations: int
    certified: bool
    bytes: int


def ply_bytes(vertices: int, faces: int) -> int:
    """Length of such a file without its header."""
    return 12 * vertices + FACE.itemsize * faces


def stream(
    field: Field,
    certainty: Certainty,
    grid: Grid,
    path: Path,
    generator: torch.Generator | None = None,
    comment: str = "DGM Studio",
) -> Generator[tuple[int, int], None, Streamed]:
    """A field's surface as a binary PLY file, in memory that does not grow with it.

    Args:
        field: Negative inside.
        certainty: Why blocks may be left out.
        grid: Where, and how fine.
        path: The file, replaced when all is done and not before.
        generator: For the audit of what is not certified; its default has seed 0.
        comment: One line for the header.

    Yields:
        (bricks done, bricks in all); (0, 0) before they are known. Closing the generator leaves no file.

    Raises:
        Problem: The disk is full, or the folder cannot be written; the field changes too fast.
    """
    tally = Tally(audit=None if certainty.proved else generator or torch.Generator().manual_seed(0))
    try:
        folder = Path(tempfile.mkdtemp(prefix=".growing-", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with open(folder / "mesh.ply", "w+b") as whole, open(folder / "faces", "w+b") as beside:
            out = _Out(whole, beside, " ".join(comment.split()))
            yield from _grown(out, field, certainty, grid, tally)
            yield from _finished(out)
            whole.flush()
            os.fsync(whole.fileno())
            size = whole.tell()
        settle(folder / "mesh.ply", path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Streamed(path, out.seam.count, out.faces, tally.evaluations, certainty.proved, size)


def _unwritable(path: Path, error: OSError) -> Problem:
    return Problem(
        f"The mesh could not be written to {path.name}: {error.strerror or error}.",
        "Choose a folder with more room, or a lower resolution.",
    )


@dataclass
class _Out:
    """The two files, and how far they are."""

    whole: IO[bytes]
    beside: IO[bytes]
    comment: str
    faces: int = 0

    def __post_init__(self) -> None:
        self.seam = Seam()
        self.restart()

    def header(self) -> bytes:
        return HEADER.format(comment=self.comment, vertices=self.seam.count, faces=self.faces).encode(
            "ascii", "replace"
        )

    def restart(self) -> None:
        self.faces = 0
        for file in (self.whole, self.beside):
            file.seek(0)
            file.truncate()
        self.whole.write(self.header())

    def add(self, piece: Piece) -> None:
        corners, _, new = self.seam.sew(piece)
        self.whole.write(piece.vertices[new].astype("<f4").tobytes())
        rows = np.empty(len(corners), FACE)
        rows["count"], rows["corners"] = 3, corners
        self.beside.write(rows.tobytes())
        self.faces += len(corners)


def _grown(
    out: _Out, field: Field, certainty: Certainty, grid: Grid, tally: Tally
) -> Generator[tuple[int, int], None, None]:
    for part in parts(field, certainty, grid, out.seam, tally):
        if part.restart:
            out.restart()
        if part.piece is not None:
            out.add(part.piece)
        yield part.done, part.total


def _finished(out: _Out) -> Generator[tuple[int, int], None, None]:
    """Faces behind the vertices, and the true counts in the header."""
    out.beside.seek(0)
    while chunk := out.beside.read(COPIED):
        out.whole.write(chunk)
        yield 1, 1
    end = out.whole.tell()
    out.whole.seek(0)
    out.whole.write(out.header())
    out.whole.seek(end)
