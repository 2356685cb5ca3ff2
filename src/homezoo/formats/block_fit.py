"""Blocks of 32 with searched scales: the least squared error that Q4_0, Q4_1, Q5_0, Q5_1 allow.

`quantize` makes these as the `gguf` package does, byte for byte: the largest value of a block, or
its range, sets the scale. A smaller scale often rounds the other 31 values better than it clips
that one. The format is the same, so every program reads it.
"""

from collections.abc import Callable

import numpy as np

from homezoo.formats.bit_fields import pack_bits
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_quantize_32 import half_bytes, split_five_bits
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.scale_search import (
    fit_scale,
    fit_scale_and_minimum,
    inverse,
    linear_targets,
    nearest_linear,
    round_to_half,
)


def _signed(x: np.ndarray, half_range: int) -> tuple[np.ndarray, np.ndarray]:
    """Scales [M] and codes uint8 [M, 32] plus `half_range`, for x ≈ scale * code: x [M, 32]."""
    nearest = nearest_linear(-half_range)
    columns = np.ascontiguousarray(x.T)
    d = round_to_half(fit_scale(columns, nearest, linear_targets(-half_range)))
    return d, (nearest(x * inverse(d)[:, None]) + half_range).astype(np.uint8)


def _affine(x: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Scales and minima, which are added, as bytes [M, 4], and codes uint8 [M, 32]."""
    scale, minimum = fit_scale_and_minimum(np.ascontiguousarray(x.T), largest)
    d, m = round_to_half(scale), round_to_half(-minimum)
    codes = np.clip(np.rint((x - m[:, None]) * inverse(d)[:, None]), 0, largest)
    return np.concatenate([half_bytes(d), half_bytes(m)], axis=1), codes.astype(np.uint8)


def _q4_0(x: np.ndarray) -> np.ndarray:
    d, codes = _signed(x, 8)
    return np.concatenate([half_bytes(d), pack_bits(codes, 4, 16)], axis=1)


def _q4_1(x: np.ndarray) -> np.ndarray:
    head, codes = _affine(x, 15)
    return np.concatenate([head, pack_bits(codes, 4, 16)], axis=1)


def _q5_0(x: np.ndarray) -> np.ndarray:
    d, codes = _signed(x, 16)
    return np.concatenate([half_bytes(d), split_five_bits(codes)], axis=1)


def _q5_1(x: np.ndarray) -> np.ndarray:
    head, codes = _affine(x, 31)
    return np.concatenate([head, split_five_bits(codes)], axis=1)


_SEARCHED: dict[BlockType, Callable[[np.ndarray], np.ndarray]] = {
    BlockType.Q4_0: _q4_0,
    BlockType.Q4_1: _q4_1,
    BlockType.Q5_0: _q5_0,
    BlockType.Q5_1: _q5_1,
}


def fit(type: BlockType, values: np.ndarray) -> np.ndarray:
    """Rows of finite floats [N, K] to rows of blocks, uint8 [N, row bytes].

    Of each block the better of `quantize` and a search; other formats are those of `quantize`,
    which searches where the `gguf` package has nothing to be equal to. Raises what it raises.
    """
    plain = quantize(type, values)
    search = _SEARCHED.get(type)
    if search is None:
        return plain
    x = np.ascontiguousarray(values, np.float32).reshape(-1, type.block_size)
    kept = plain.reshape(-1, type.block_bytes)
    found = search(x)
    better = _error(type, found, x) < _error(type, kept, x)
    return np.where(better[:, None], found, kept).reshape(plain.shape)


def _error(type: BlockType, blocks: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Squared error of each block: float32 [M]."""
    difference = dequantize(type, blocks) - x
    return np.asarray((difference * difference).sum(axis=1))
