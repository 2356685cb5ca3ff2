"""What a product with a weight means, in NumPy: with exact floats, and as the kernels compute it.

The second is the one canonical sum of ARCHITECTURE.md, which native kernels repeat bit for bit.
"""

from collections.abc import Iterator

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize, integer_blocks
from homezoo.formats.tensor import Tensor

FLOAT_TYPES = (BlockType.F32, BlockType.F16, BlockType.BF16)
LANES = 8  # partial sums of a float row: the lanes of a 256-bit register
CHUNK_ELEMENTS = 1 << 20  # of intermediate arrays in float64: 8 MB each


def matmul_exact(x: np.ndarray, weight: Tensor) -> np.ndarray:
    """x float32 [T, K] times weight [N, K] transposed, summed in float64: float32 [T, N]."""
    y = np.empty((len(x), weight.rows), np.float32)
    for rows in _row_chunks(weight):
        y[:, rows] = multiply(x, dequantize(weight.type, weight.data[rows]))
    return y


def multiply(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """x [T, K] times matrix [N, K] transposed, summed in float64: float32 [T, N].

    Token by token, as the sums of a larger matrix product may run in another order.
    """
    wide = matrix.astype(np.float64)
    y = np.empty((len(x), len(matrix)), np.float32)
    for token, row in enumerate(x):
        y[token] = wide @ row.astype(np.float64)
    return y


def matmul_canonical(x: np.ndarray, weight: Tensor) -> np.ndarray:
    """The kernels' x [T, K] times weight [N, K] transposed: float32 [T, N], to the bit.

    Activations are rounded to int8 in blocks when the weight is quantised.
    """
    y = np.empty((len(x), weight.rows), np.float32)
    if weight.type in FLOAT_TYPES:
        for rows in _row_chunks(weight):
            y[:, rows] = _lane_sums(x, dequantize(weight.type, weight.data[rows]))
        return y
    codes, scales = round_activations(x, weight.type.block_size)
    for rows in _row_chunks(weight):
        y[:, rows] = _block_sums(codes, scales, weight.type, weight.data[rows])
    return y


def round_activations(x: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """x float32 [T, K] to int8 codes [T, B, block] and float32 scales [T, B]; x ≈ scale · code.

    Ties go to even. A block whose largest value is too small for 127 / max to be finite becomes 0.
    """
    blocks = x.reshape(len(x), -1, block)  # [T, B, block]
    peak = np.abs(blocks).max(axis=2)  # [T, B]
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(127) / peak
    inverse = np.where(np.isinf(inverse), np.float32(0), inverse)
    codes = np.rint(blocks * inverse[..., None]).astype(np.int8)
    return codes, peak / np.float32(127)


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a · b + c of float32 arrays, rounded once to float32.

    The product is exact in float64. The sum is rounded there to odd, so that the second rounding
    cannot undo the first (Boldo and Melquiond 2008).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        product = a.astype(np.float64) * b
        total = product + c
        added = total - product
        error = (product - (total - added)) + (c - added)  # Knuth's two-sum: exactly what was lost
        toward = np.where(error > 0, np.inf, -np.inf)
        is_even = (total.view(np.int64) & 1) == 0
        odd = np.where((error != 0) & is_even, np.nextafter(total, toward), total)
        return np.asarray(odd, np.float32)


def _lane_sums(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Eight chains over k in order, lane = k mod 8, for x [T, K] and rows [N, K]: [T, N]."""
    padding = ((0, 0), (0, -x.shape[1] % LANES))
    x, rows = np.pad(x, padding), np.pad(rows, padding)
    y = np.empty((len(x), len(rows)), np.float32)
    for token in range(len(x)):
        s = np.zeros((len(rows), LANES), np.float32)
        for k in range(0, x.shape[1], LANES):
            s = fma(rows[:, k : k + LANES], x[token, k : k + LANES], s)
        evens = (s[:, 0] + s[:, 4]) + (s[:, 2] + s[:, 6])
        odds = (s[:, 1] + s[:, 5]) + (s[:, 3] + s[:, 7])
        y[token] = evens + odds
    return y


def _block_sums(
    codes: np.ndarray, scales: np.ndarray, type: BlockType, data: np.ndarray
) -> np.ndarray:
    """Integers exact inside a block, then one chain over the blocks, for rows of bytes: [T, N].

    codes int8 [T, B, block], scales float32 [T, B].
    """
    weight = integer_blocks(type, data)
    rows, blocks, groups, size = weight.codes.shape
    tokens = len(codes)
    # float64 holds these integers exactly (below 2^31), so the order of its sums does not matter
    x = codes.reshape(tokens, blocks, groups, size).astype(np.float64)  # [T, B, G, S]
    w = weight.codes * weight.group_scale[..., None].astype(np.float64)  # [N, B, G, S]
    flat = (blocks, groups * size)
    totals = _per_block(x.reshape(tokens, *flat), w.reshape(rows, *flat))  # [B, T, N]
    y = np.zeros((tokens, rows), np.float32)
    minima = None
    if weight.group_min is not None:
        minima = _per_block(x.sum(axis=3), weight.group_min.astype(np.float64))  # [B, T, N]
    for b in range(blocks):
        y = fma(totals[b], scales[:, b, None] * weight.scale[None, :, b], y)
        if minima is not None and weight.min_scale is not None:
            y = fma(-minima[b], scales[:, b, None] * weight.min_scale[None, :, b], y)
    return y


def _per_block(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x [T, B, S] and w [N, B, S] of whole numbers to their products summed over S: [B, T, N]."""
    product = np.matmul(x.transpose(1, 0, 2), w.transpose(1, 2, 0))
    return np.asarray(product, np.float32)


def _row_chunks(weight: Tensor) -> Iterator[slice]:
    """Slices of the rows that keep the intermediate arrays small."""
    step = max(1, CHUNK_ELEMENTS // weight.width)
    return (slice(start, start + step) for start in range(0, weight.rows, step))
