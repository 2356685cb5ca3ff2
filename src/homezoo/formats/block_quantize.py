"""Rows of floats to rows of blocks, for every block format: the inverse of blocks.py."""

from collections.abc import Callable

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats import block_quantize_32 as quantize_32
from homezoo.formats import block_quantize_256 as quantize_256
from homezoo.formats.block_types import BlockType

# Elements quantised at once: keeps the dozen intermediate arrays of 1 MB each in the cache.
_CHUNK_ELEMENTS = 1 << 18
# Largest magnitudes that a format can hold, where it is not the largest float16 (which scales are).
_LARGEST_HALF = 65504.0
_LARGEST = {
    BlockType.F32: np.inf,
    BlockType.BF16: float(np.uint32(0x7F7F0000).view(np.float32)),
    BlockType.MXFP4: np.inf,
}


def _f32(x: np.ndarray) -> np.ndarray:
    """float32 [M, 1] as its bytes [M, 4]."""
    blocks: np.ndarray = x.astype("<f4").view(np.uint8)
    return blocks


def _f16(x: np.ndarray) -> np.ndarray:
    """float32 [M, 1] rounded to the nearest float16, ties to even: [M, 2]."""
    blocks: np.ndarray = x.astype("<f2").view(np.uint8)
    return blocks


def _bf16(x: np.ndarray) -> np.ndarray:
    """float32 [M, 1] rounded to its upper 16 bits, ties to even: [M, 2]."""
    bits = x.view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    blocks: np.ndarray = rounded.astype("<u2").view(np.uint8)
    return blocks


_QUANTIZE: dict[BlockType, Callable[[np.ndarray], np.ndarray]] = {
    BlockType.F32: _f32,
    BlockType.F16: _f16,
    BlockType.BF16: _bf16,
    BlockType.Q4_0: quantize_32.q4_0,
    BlockType.Q4_1: quantize_32.q4_1,
    BlockType.Q5_0: quantize_32.q5_0,
    BlockType.Q5_1: quantize_32.q5_1,
    BlockType.Q8_0: quantize_32.q8_0,
    BlockType.IQ4_NL: quantize_32.iq4_nl,
    BlockType.MXFP4: quantize_32.mxfp4,
    BlockType.Q2_K: quantize_256.q2_k,
    BlockType.Q3_K: quantize_256.q3_k,
    BlockType.Q4_K: quantize_256.q4_k,
    BlockType.Q5_K: quantize_256.q5_k,
    BlockType.Q6_K: quantize_256.q6_k,
    BlockType.IQ4_XS: quantize_256.iq4_xs,
}


def quantize(type: BlockType, values: np.ndarray) -> np.ndarray:
    """Rows of finite floats [N, K] to rows of blocks, uint8 [N, row bytes].

    Equal byte for byte to the `gguf` package for the types which that can make; a search for the
    least squared error for the K-quants and IQ4 types. A row's bytes depend on that row alone.
    Works in chunks of rows. Raises UnsupportedError when K is no whole number of blocks, and
    GGUFError naming the first row that holds NaN, an infinity, or a number too large for the type.
    """
    row_bytes = type.row_bytes(values.shape[1])
    rows, width = values.shape
    out = np.empty((rows, row_bytes), dtype=np.uint8)
    step = max(1, _CHUNK_ELEMENTS // max(width, 1))
    for start in range(0, rows, step):
        part = np.ascontiguousarray(values[start : start + step], dtype=np.float32)
        _check_range(type, part, start)
        blocks = _QUANTIZE[type](part.reshape(-1, type.block_size))
        out[start : start + step] = blocks.reshape(len(part), row_bytes)
    return out


def _check_range(type: BlockType, part: np.ndarray, first_row: int) -> None:
    """GGUFError naming the first row of `part` [n, K] with a value that the type cannot hold."""
    largest = _LARGEST.get(type, _LARGEST_HALF)
    good = np.isfinite(part) & (np.abs(part) <= largest)
    if good.all():
        return
    row, column = np.argwhere(~good)[0]
    value = part[row, column]
    problem = "is not finite" if not np.isfinite(value) else f"is beyond ±{largest:g}"
    raise GGUFError(
        f"cannot quantize to {type.name}: row {first_row + row} holds {value} at element {column}, "
        f"which {problem}; check the source weights"
    )
