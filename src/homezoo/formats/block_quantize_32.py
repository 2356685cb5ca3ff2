"""Floats to the block formats of 32 elements.

Q4_0 to Q8_0 and MXFP4 follow the `gguf` package byte for byte; IQ4_NL is a search of our own.
Each function takes float32 [M, 32] and gives uint8 [M, bytes of a block]; layouts: blocks_32.py.
"""

import numpy as np

from homezoo.formats.bit_fields import pack_bits
from homezoo.formats.blocks_32 import MXFP4_VALUES, half_power_of_two
from homezoo.formats.scale_search import (
    IQ4_TARGETS,
    fit_scale,
    inverse,
    nearest_iq4,
    nearest_iq4_index,
    peak,
    round_to_half,
)

# Midpoints between the magnitudes 0, 1, 2, 3, 4, 6, 8, 12; a value at one rounds down.
_MXFP4_MIDPOINTS = (MXFP4_VALUES[:7].astype(np.float32) + MXFP4_VALUES[1:8]) / 2


def half_bytes(x: np.ndarray) -> np.ndarray:
    """Floats [M] as little-endian float16: uint8 [M, 2]."""
    return x.astype("<f2")[:, None].view(np.uint8)


def _inverse_of_scale(d: np.ndarray) -> np.ndarray:
    """1 / d, and 0 where that is infinite (the float16 scale is 0 there)."""
    with np.errstate(divide="ignore", over="ignore"):
        result = np.float32(1) / d
    return np.where(np.isfinite(result), result, np.float32(0))


def _symmetric_codes(x: np.ndarray, half_range: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale [M] that sends the peak to -half_range, and codes plus half_range: uint8 [M, 32]."""
    d = peak(x.T) / -half_range
    codes = np.trunc(x * _inverse_of_scale(d)[:, None] + np.float32(half_range + 0.5))
    return d, np.minimum(codes, 2 * half_range - 1).astype(np.uint8)


def _affine_codes(x: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale [M] and minimum [M] that span the range of each block, and codes: uint8 [M, 32]."""
    minimum = x.min(axis=1)
    d = (x.max(axis=1) - minimum) / largest
    codes = (x - minimum[:, None]) * _inverse_of_scale(d)[:, None] + np.float32(0.5)
    return d, minimum, np.minimum(np.trunc(codes), largest).astype(np.uint8)


def q4_0(x: np.ndarray) -> np.ndarray:
    """See blocks_32.q4_0."""
    d, codes = _symmetric_codes(x, 8)
    return np.concatenate([half_bytes(d), pack_bits(codes, 4, 16)], axis=1)


def q4_1(x: np.ndarray) -> np.ndarray:
    """See blocks_32.q4_1."""
    d, minimum, codes = _affine_codes(x, 15)
    return np.concatenate([half_bytes(d), half_bytes(minimum), pack_bits(codes, 4, 16)], axis=1)


def split_five_bits(codes: np.ndarray) -> np.ndarray:
    """Codes uint8 [M, 32] of 0 to 31: fifth bits, then nibbles, uint8 [M, 20]."""
    high, low = pack_bits(codes >> 4, 1, 1), pack_bits(codes & 15, 4, 16)
    return np.concatenate([high, low], axis=1)


def q5_0(x: np.ndarray) -> np.ndarray:
    """See blocks_32.q5_0."""
    d, codes = _symmetric_codes(x, 16)
    return np.concatenate([half_bytes(d), split_five_bits(codes)], axis=1)


def q5_1(x: np.ndarray) -> np.ndarray:
    """See blocks_32.q5_1."""
    d, minimum, codes = _affine_codes(x, 31)
    return np.concatenate([half_bytes(d), half_bytes(minimum), split_five_bits(codes)], axis=1)


def q8_0(x: np.ndarray) -> np.ndarray:
    """See blocks_32.q8_0. Codes round half away from zero."""
    d = np.abs(x).max(axis=1) / 127
    scaled = x * _inverse_of_scale(d)[:, None]
    whole = np.trunc(scaled)
    codes = whole + np.trunc(2 * (scaled - whole))
    return np.concatenate([half_bytes(d), codes.astype(np.int8).view(np.uint8)], axis=1)


def iq4_nl(x: np.ndarray) -> np.ndarray:
    """See blocks_32.iq4_nl. The scale is the best of `scale_search.fit_scale`."""
    d = round_to_half(fit_scale(np.ascontiguousarray(x.T), nearest_iq4, IQ4_TARGETS))
    codes = nearest_iq4_index(x * inverse(d)[:, None])
    return np.concatenate([half_bytes(d), pack_bits(codes, 4, 16)], axis=1)


def mxfp4(x: np.ndarray) -> np.ndarray:
    """See blocks_32.mxfp4. The exponent is that of the largest magnitude, less 2 (OCP 1.0, 6.3)."""
    largest = np.abs(x).max(axis=1)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(largest)) + (127 - 2)
    exponents = np.maximum(exponent, 0).astype(np.uint8)
    scaled = np.abs(x) / half_power_of_two(exponents)[:, None]
    codes = np.searchsorted(_MXFP4_MIDPOINTS, scaled).astype(np.uint8)
    codes |= ((x < 0) & (codes > 0)).astype(np.uint8) << 3
    return np.concatenate([exponents[:, None], pack_bits(codes, 4, 16)], axis=1)
