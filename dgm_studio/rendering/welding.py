"""Pieces of a surface sewn together as they come, by the numbers of the grid's edges that their vertices lie on.

A vertex is finished when all cells around its edge have been seen; only the others are remembered. What is remembered
when all is done shows where the surface goes on into cells that were left out: there it is followed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dgm_studio.rendering.bricks import Floats, Ints, Piece


class Seam:
    """Vertices that more pieces may share."""

    def __init__(self) -> None:
        self.count = 0
        self._open: dict[int, tuple[int, int, int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def clear(self) -> None:
        """Forget everything: the surface begins again."""
        self.count = 0
        self._open.clear()

    def sew(self, piece: Piece) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """Number a piece's vertices.

        Returns:
            Its faces in the whole surface's numbers [F, 3], and keys and mask of the vertices that are new: [V], which
            get the next numbers in order.
        """
        new = np.ones(len(piece.keys), np.bool_)
        number = np.empty(len(piece.keys), np.int64)
        unfinished = np.flatnonzero(piece.around != piece.needed)
        told = list(zip(unfinished.tolist(), piece.keys[unfinished].tolist(), strict=True))
        known = {row: self._open[key] for row, key in told if key in self._open}
        new[list(known)] = False
        number[new] = self.count + np.arange(int(new.sum()))
        for row, (place, _, _) in known.items():
            number[row] = place
        self.count += int(new.sum())
        for row, key in told:
            seen = int(piece.around[row]) | (known[row][1] if row in known else 0)
            needed = int(piece.needed[row])
            if seen == needed:
                del self._open[key]
            else:
                self._open[key] = (int(number[row]), seen, needed)
        return number[piece.faces], piece.keys[new], new

    def torn(self) -> tuple[Ints, npt.NDArray[np.uint8]]:
        """Edges where the surface goes on into cells nobody looked at: numbers [M], and those cells' bits [M]."""
        keys = np.fromiter(self._open, np.int64, len(self._open))
        bits = np.array([needed & ~seen for _, seen, needed in self._open.values()], np.uint8)
        return keys, bits


def welded(pieces: Iterable[Piece]) -> tuple[Floats, Ints, Ints]:
    """Vertices [V, 3], faces [F, 3] and keys [V] of one surface out of pieces."""
    seam = Seam()
    vertices, faces, keys = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for piece in pieces:
        more, new_keys, new = seam.sew(piece)
        faces.append(more)
        keys.append(new_keys)
        vertices.append(piece.vertices[new])
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(keys)
