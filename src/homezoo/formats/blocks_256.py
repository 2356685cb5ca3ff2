"""The block formats of 256 elements (super-blocks): Q2_K to Q6_K and IQ4_XS.

Each function takes uint8 [N, B, bytes of a block] and gives the block's integers and scales.
Source of the layouts: the block structs of ggml (github.com/ggml-org/ggml, src/ggml-common.h).
"""

import numpy as np

from homezoo.formats.bit_fields import unpack_bits
from homezoo.formats.blocks_32 import IQ4_VALUES, half_floats
from homezoo.formats.integer_blocks import IntegerBlocks


def _grouped(codes: np.ndarray, size: int) -> np.ndarray:
    """int8 [N, B, 256] as [N, B, 256 / size, size]."""
    return codes.reshape(*codes.shape[:2], 256 // size, size)


def q2_k(blocks: np.ndarray) -> IntegerBlocks:
    """16 bytes of scale (low nibble) and minimum (high); 64 of 2-bit codes; float16 d, dmin."""
    scales, minima = blocks[..., :16] & 15, blocks[..., :16] >> 4
    codes = unpack_bits(blocks[..., 16:80], 2, 32).view(np.int8)
    return IntegerBlocks(
        half_floats(blocks[..., 80:82]),
        scales.astype(np.int16),
        _grouped(codes, 16),
        half_floats(blocks[..., 82:84]),
        minima.astype(np.int16),
    )


def q3_k(blocks: np.ndarray) -> IntegerBlocks:
    """32 bytes of third bits; 64 of 2-bit codes; 12 of scales (6 bits, less 32); float16 d."""
    low = unpack_bits(blocks[..., 32:96], 2, 32)
    high = unpack_bits(blocks[..., :32], 1, 32)
    codes = (low | high << np.uint8(2)).view(np.int8) - np.int8(4)
    scales = unpack_bits(blocks[..., 96:104], 4, 8).astype(np.int16)
    scales |= unpack_bits(blocks[..., 104:108], 2, 4).astype(np.int16) << 4
    return IntegerBlocks(half_floats(blocks[..., 108:]), scales - 32, _grouped(codes, 16))


def _six_bit_scales(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eight scales and eight minima of 6 bits in 12 bytes (Q4_K, Q5_K): two int16 [N, B, 8].

    Bytes 0-3 hold scales 0-3 and bytes 4-7 minima 0-3 in their low 6 bits. Bytes 8-11 hold the low
    nibbles of scales 4-7 (low half) and minima 4-7 (high half); their two upper bits are the top
    bits of bytes 0-3 and 4-7.
    """
    first, second, last = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    scales = np.concatenate([first & 63, last & 15 | first >> 6 << 4], axis=-1)
    minima = np.concatenate([second & 63, last >> 4 | second >> 6 << 4], axis=-1)
    return scales.astype(np.int16), minima.astype(np.int16)


def q4_k(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d, dmin; 12 bytes of scales and minima; 128 bytes of nibbles."""
    scales, minima = _six_bit_scales(blocks[..., 4:16])
    codes = unpack_bits(blocks[..., 16:], 4, 32).view(np.int8)
    d, dmin = half_floats(blocks[..., :2]), half_floats(blocks[..., 2:4])
    return IntegerBlocks(d, scales, _grouped(codes, 32), dmin, minima)


def q5_k(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d, dmin; 12 bytes of scales and minima; 32 of fifth bits; 128 bytes of nibbles."""
    scales, minima = _six_bit_scales(blocks[..., 4:16])
    high = unpack_bits(blocks[..., 16:48], 1, 32)
    codes = (unpack_bits(blocks[..., 48:], 4, 32) | high << np.uint8(4)).view(np.int8)
    d, dmin = half_floats(blocks[..., :2]), half_floats(blocks[..., 2:4])
    return IntegerBlocks(d, scales, _grouped(codes, 32), dmin, minima)


def q6_k(blocks: np.ndarray) -> IntegerBlocks:
    """128 bytes of low nibbles; 64 of upper 2 bits; 16 signed scales; float16 d. Codes less 32."""
    high = unpack_bits(blocks[..., 128:192], 2, 32)
    low = unpack_bits(blocks[..., :128], 4, 64)
    codes = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
    scales = blocks[..., 192:208].view(np.int8).astype(np.int16)
    return IntegerBlocks(half_floats(blocks[..., 208:]), scales, _grouped(codes, 16))


def iq4_xs(blocks: np.ndarray) -> IntegerBlocks:
    """float16 d; 8 scales of 6 bits, less 32: upper bits in 2 bytes, lower in 4; 128 of nibbles."""
    scales = unpack_bits(blocks[..., 4:8], 4, 1).astype(np.int16)
    scales |= unpack_bits(blocks[..., 2:4], 2, 1).astype(np.int16) << 4
    codes = IQ4_VALUES[unpack_bits(blocks[..., 8:], 4, 16)]
    return IntegerBlocks(half_floats(blocks[..., :2]), scales - 32, _grouped(codes, 32))
