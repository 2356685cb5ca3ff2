"""Scores of one vector against many: an index's vectors are a Q8_0 matrix, and the kernel that
multiplies weights reads them. matmul_canonical of reference_matmul.py says what comes out, to the
bit."""

import numpy as np

from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize

TYPE = BlockType.Q8_0


def padded_width(width: int) -> int:
    """Vectors are stored in whole blocks of 32 values; those behind `width` are 0."""
    return -(-width // TYPE.block_size) * TYPE.block_size


def pack_vectors(vectors: np.ndarray) -> np.ndarray:
    """Float vectors [N, D] as rows of Q8_0 blocks: uint8 [N, row bytes], 1.06 bytes per value."""
    count, width = vectors.shape
    padded = np.zeros((count, padded_width(width)), np.float32)
    padded[:, :width] = vectors
    return quantize(TYPE, padded)


def unpack_vectors(rows: np.ndarray, width: int) -> np.ndarray:
    """The float32 [N, D] that rows of blocks stand for."""
    return dequantize(TYPE, rows)[:, :width]


class Scan:
    """Inner products of one query with every row, by the native kernel. Rows are not copied."""

    def __init__(self, rows: np.ndarray, width: int, threads: int = 1) -> None:
        """`rows` uint8 [N, row bytes] of `pack_vectors`, for vectors of `width` values."""
        from homezoo import _native

        self.rows = np.ascontiguousarray(rows)
        self.width = width
        whole = padded_width(width)
        self._query = np.zeros((1, whole), np.float32)  # the program reads it where it lies
        program = _native.Program(_native.Threads(threads))
        table = self._query.view(np.uint8)
        given = program.embed(table, int(BlockType.F32), whole)
        program.finish(program.matmul(given, self.rows, int(TYPE), whole))
        self._program = program
        zero = np.zeros(1, np.int32)
        self._batch = (zero, zero, zero, np.zeros((1, 1), np.int32), zero)

    def scores(self, query: np.ndarray) -> np.ndarray:
        """float32 [N]: the query [D], rounded to int8 in blocks of 32, times each row."""
        self._query[0, : self.width] = query
        return np.asarray(self._program.run(*self._batch))[0]

    def nearest(
        self, query: np.ndarray, top: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places int64 [top] and scores float32 of the best rows, the best first.

        The scan finds four times as many; those are scored again with the query unrounded.
        `allowed` bool [N]: rows that count.
        """
        scores = self.scores(query)
        if allowed is not None:
            scores = np.where(allowed, scores, -np.inf)
        keep = min(len(scores), max(4 * top, 40))
        if keep < len(scores):
            places = np.argpartition(scores, -keep)[-keep:]
        else:
            places = np.arange(len(scores))
        places = places[np.isfinite(scores[places])]
        exact = unpack_vectors(self.rows[places], self.width) @ query.astype(np.float32)
        order = np.lexsort((places, -exact))[:top]
        return places[order], exact[order]
