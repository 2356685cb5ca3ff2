"""The block formats of 32 elements: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL and MXFP4.

Each function takes uint8 [N, B, bytes of a block] and gives the block's integers and scales.
Source of the layouts: the block structs of ggml (github.com/ggml-org/ggml, src/ggml-common.h).
"""

import numpy as np

from homezoo.formats.bit_fields import unpack_bits
from homezoo.formats.integer_blocks import IntegerBlocks

# Non-linear 4-bit values of IQ4_NL and IQ4_XS (ggml, kvalues_iq4nl).
IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.int8
)
# Twice the E2M1 numbers 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, so that they are integers
# (OCP Microscaling Formats 1.0, section 5.3.3).
MXFP4_VALUES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=np.int8)


def half_floats(data: np.ndarray) -> np.ndarray:
    """Little-endian float16 in uint8 [..., 2] as float32 [...]."""
    return data.view("<f2")[..., 0].astype(np.float32)


def half_power_of_two(exponents: np.ndarray) -> np.ndarray:
    """2^(e - 128) for uint8 exponents [...], float32: half of an E8M0 scale, exact also at 0 and 1.

    Halved because MXFP4_VALUES are doubled. ggml gives exponent 255, NaN in the OCP specification,
    the value 2^127, and so do we.
    """
    return np.ldexp(np.float32(1), exponents.astype(np.int32) - 128)


def _single_group(
    scale: np.ndarray, codes: np.ndarray, minimum: np.ndarray | None = None
) -> IntegerBlocks:
    """One group per block: scale [N, B], codes int8 [N, B, 32], minimum (added) [N, B]."""
    ones = np.ones((*scale.shape, 1), dtype=np.int16)
    if minimum is None:
        return IntegerBlocks(scale, ones, codes[:, :, None])
    return IntegerBlocks(scale, ones, codes[:, :, None], -minimum, ones)


def q4_0(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d; 16 bytes of nibbles. d * (q - 8)."""
    codes = unpack_bits(blocks[..., 2:], 4, 16).view(np.int8) - np.int8(8)
    return _single_group(half_floats(blocks[..., :2]), codes)


def q4_1(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d, m; 16 bytes of nibbles. d * q + m."""
    codes = unpack_bits(blocks[..., 4:], 4, 16).view(np.int8)
    return _single_group(half_floats(blocks[..., :2]), codes, half_floats(blocks[..., 2:4]))


def _five_bits(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Fifth bits [N, B, 4] and nibbles [N, B, 16] joined: int8 [N, B, 32] of 0 to 31."""
    codes = unpack_bits(low, 4, 16) | unpack_bits(high, 1, 1) << np.uint8(4)
    return codes.view(np.int8)


def q5_0(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d; 32 fifth bits; 16 bytes of nibbles. d * (q - 16)."""
    codes = _five_bits(blocks[..., 2:6], blocks[..., 6:]) - np.int8(16)
    return _single_group(half_floats(blocks[..., :2]), codes)


def q5_1(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d, m; 32 fifth bits; 16 bytes of nibbles. d * q + m."""
    codes = _five_bits(blocks[..., 4:8], blocks[..., 8:])
    return _single_group(half_floats(blocks[..., :2]), codes, half_floats(blocks[..., 2:4]))


def q8_0(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d; 32 signed bytes. d * q."""
    return _single_group(half_floats(blocks[..., :2]), blocks[..., 2:].view(np.int8))


def iq4_nl(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d; 16 bytes of nibbles into IQ4_VALUES. d * value."""
    codes = IQ4_VALUES[unpack_bits(blocks[..., 2:], 4, 16)]
    return _single_group(half_floats(blocks[..., :2]), codes)


def mxfp4(blocks: np.ndarray) -> IntegerBlocks:
    """E8M0 exponent; 16 bytes of nibbles into MXFP4_VALUES. 2^(e - 128) * value."""
    codes = MXFP4_VALUES[unpack_bits(blocks[..., 1:], 4, 16)]
    return _single_group(half_power_of_two(blocks[..., 0]), codes)
