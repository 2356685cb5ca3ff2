"""Block formats against the `gguf` package and against blocks computed by hand."""

import gguf
import numpy as np
import pytest

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats.bit_fields import pack_bits, unpack_bits
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize, integer_blocks

FLOATS = (BlockType.F32, BlockType.F16, BlockType.BF16)
QUANTISED = [type for type in BlockType if type not in FLOATS]
WIDTH = 768  # a multiple of 32 and 256; three super-blocks


def reference(type: BlockType, data: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(gguf.quants.dequantize(data, gguf.GGMLQuantizationType(int(type))))


def random_bytes(type: BlockType, rows: int, width: int = WIDTH) -> np.ndarray:
    rng = np.random.default_rng(int(type))
    return rng.integers(0, 256, (rows, type.row_bytes(width)), dtype=np.uint8)


def half(value: float) -> list[int]:
    return list(np.float16(value).tobytes())


@pytest.mark.parametrize("type", BlockType)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_dequantize_equals_gguf_bit_for_bit_on_random_bytes(type: BlockType) -> None:
    data = random_bytes(type, 700)  # 700 rows: more than one chunk
    ours, theirs = dequantize(type, data), reference(type, data)
    assert ours.dtype == np.float32 and ours.shape == (700, WIDTH)
    finite = np.isfinite(theirs)  # random scales are infinite or NaN now and then
    assert finite.mean() > 0.9
    assert np.array_equal(ours.view(np.uint32)[finite], theirs.view(np.uint32)[finite])
    assert np.array_equal(ours, theirs, equal_nan=True)


@pytest.mark.parametrize("type", QUANTISED)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_integers_lie_within_the_ranges_that_kernels_rely_on(type: BlockType) -> None:
    parts = integer_blocks(type, random_bytes(type, 200))
    rows, blocks, groups, size = parts.codes.shape
    assert (rows, blocks * groups * size) == (200, WIDTH)
    assert groups * size == type.block_size
    assert parts.codes.dtype == np.int8
    assert parts.group_scale.dtype == np.int16 and parts.group_scale.shape == (rows, blocks, groups)
    assert parts.scale.dtype == np.float32 and parts.scale.shape == (rows, blocks)
    low, high, scale_low, scale_high = RANGES[type]
    assert (parts.codes.min(), parts.codes.max()) == (low, high)
    assert (parts.group_scale.min(), parts.group_scale.max()) == (scale_low, scale_high)
    assert (parts.min_scale is not None) == (type in WITH_MINIMA)


# lowest and highest code, lowest and highest group scale
RANGES = {
    BlockType.Q4_0: (-8, 7, 1, 1),
    BlockType.Q4_1: (0, 15, 1, 1),
    BlockType.Q5_0: (-16, 15, 1, 1),
    BlockType.Q5_1: (0, 31, 1, 1),
    BlockType.Q8_0: (-128, 127, 1, 1),
    BlockType.Q2_K: (0, 3, 0, 15),
    BlockType.Q3_K: (-4, 3, -32, 31),
    BlockType.Q4_K: (0, 15, 0, 63),
    BlockType.Q5_K: (0, 31, 0, 63),
    BlockType.Q6_K: (-32, 31, -128, 127),
    BlockType.IQ4_NL: (-127, 113, 1, 1),
    BlockType.IQ4_XS: (-127, 113, -32, 31),
    BlockType.MXFP4: (-12, 12, 1, 1),
}
WITH_MINIMA = (
    BlockType.Q4_1,
    BlockType.Q5_1,
    BlockType.Q2_K,
    BlockType.Q4_K,
    BlockType.Q5_K,
)


@pytest.mark.parametrize("type", FLOATS)
def test_float_types_have_no_integer_blocks(type: BlockType) -> None:
    with pytest.raises(UnsupportedError, match=f"{type.name} holds floats"):
        integer_blocks(type, random_bytes(type, 1))


def test_a_row_of_the_wrong_size_is_an_error_with_the_size_found() -> None:
    with pytest.raises(GGUFError, match=r"multiple of 18\], found uint8 \[2, 17\]"):
        dequantize(BlockType.Q4_0, np.zeros((2, 17), dtype=np.uint8))


@pytest.mark.parametrize("type", BlockType)
def test_no_rows_give_no_values(type: BlockType) -> None:
    assert dequantize(type, random_bytes(type, 0)).shape == (0, WIDTH)


@pytest.mark.parametrize("bits, run", [(1, 1), (1, 32), (2, 4), (2, 32), (4, 1), (4, 16), (4, 64)])
def test_pack_bits_inverts_unpack_bits(bits: int, run: int) -> None:
    packed = np.random.default_rng(bits).integers(0, 256, (5, 3, 128), dtype=np.uint8)
    fields = unpack_bits(packed, bits, run)
    assert fields.shape == (5, 3, 1024 // bits) and fields.max() < 1 << bits
    assert np.array_equal(pack_bits(fields, bits, run), packed)


# Blocks written by hand. Each case: type, bytes of a block, {element: value}, value of the others.

HAND_32 = [
    # nibbles: element 0 low of byte 0, element 16 high of byte 0; 0x88 stores zero
    (BlockType.Q4_0, half(0.5) + [0xF0] + [0x88] * 15, {0: -4.0, 16: 3.5}, 0.0),
    (BlockType.Q4_1, half(0.5) + half(-1.0) + [0xF1] + [0x22] * 15, {0: -0.5, 16: 6.5}, 0.0),
    # fifth bits 0x00010002: elements 1 and 16; nibbles 0x3F: element 0 is 15, element 16 is 3
    (BlockType.Q5_0, half(2.0) + [2, 0, 1, 0] + [0x3F] + [0] * 15, {0: -2, 1: 0, 16: 6}, -32.0),
    (
        BlockType.Q5_1,
        half(2.0) + half(1.0) + [2, 0, 1, 0] + [0x3F] + [0] * 15,
        {0: 31.0, 1: 33.0, 16: 39.0},
        1.0,
    ),
    (BlockType.Q8_0, half(0.25) + [0x7F, 0x80] + [0] * 30, {0: 31.75, 1: -32.0}, 0.0),
    # 0x0F: element 0 is value 15 (113), the high nibble value 0 (-127)
    (BlockType.IQ4_NL, half(1.0) + [0x0F] + [0x88] * 15, {0: 113.0, 16: -127.0}, 1.0),
    # exponent 128 is a scale of 2; nibble 7 is 6.0, nibble 9 is -0.5
    (BlockType.MXFP4, [128, 0x97] + [0] * 15, {0: 12.0, 16: -1.0}, 0.0),
    # the smallest scale, 2^-127, is a denormal number
    (BlockType.MXFP4, [0, 0x02] + [0] * 15, {0: 2.0**-127}, 0.0),
]

HAND_256 = [
    # group 0 has scale 3 and minimum 2; codes of byte 0: elements 0, 32, 64, 96 are 1, 2, 3, 0
    (
        BlockType.Q2_K,
        [0x23] + [0] * 1 + [0x01] + [0] * 13 + [0x39] + [0] * 63 + half(1.0) + half(0.5),
        {**dict.fromkeys(range(16), -1.0), 0: 2.0, 32: 2.0},
        0.0,
    ),
    # third bit set for element 0 only; all 2-bit codes 1; scales 33 for group 0, else 32 (zero)
    (
        BlockType.Q3_K,
        [1] + [0] * 31 + [0x55] * 64 + [0x01] + [0] * 7 + [0xAA] * 4 + half(2.0),
        {**dict.fromkeys(range(16), -6.0), 0: 2.0},
        0.0,
    ),
    # scale 0 is 5 and minimum 0 is 7; scale 4 is 0x21 and minimum 4 is 0x12 (upper bits apart)
    (
        BlockType.Q4_K,
        half(1.0) + half(1.0) + [0x85, 0, 0, 0, 0x47, 0, 0, 0, 0x21, 0, 0, 0] + [0x32] * 128,
        {**dict.fromkeys(range(32), 3.0), **dict.fromkeys(range(128, 160), 48.0)},
        0.0,
    ),
    # as Q4_K's group 0, with the fifth bit (16) of element 3 set and code 2 else
    (
        BlockType.Q5_K,
        half(1.0)
        + half(1.0)
        + [5, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]
        + [0, 0, 0, 1]
        + [0] * 28
        + [0x32] * 128,
        {**dict.fromkeys(range(32), 3.0), 3: 83.0},
        0.0,
    ),
    # codes 0 but the upper bits 2 (32): zero; byte 0 of the low nibbles gives elements 0 and 64
    (
        BlockType.Q6_K,
        [0x43] + [0] * 127 + [0xAA] * 64 + [0xFE] + [1] * 15 + half(0.5),
        {0: -3.0, 64: 2.0},
        0.0,
    ),
    # scale 1 is 32 + 3: upper bits 2 in bits 2-3, low nibble 3 in the high half of byte 0
    (
        BlockType.IQ4_XS,
        half(1.0) + [0xAA, 0xAA] + [0x30, 0, 0, 0] + [0x88] * 16 + [0xF0] * 16 + [0] * 96,
        {**dict.fromkeys(range(32, 48), -381.0), **dict.fromkeys(range(48, 64), 339.0)},
        0.0,
    ),
]


@pytest.mark.parametrize(
    "type, block, values, other", HAND_32 + HAND_256, ids=lambda v: getattr(v, "name", "")
)
def test_blocks_computed_by_hand(
    type: BlockType, block: list[int], values: dict[int, float], other: float
) -> None:
    expected = np.full(type.block_size, other, dtype=np.float32)
    for element, value in values.items():
        expected[element] = value
    data = np.array([block], dtype=np.uint8)
    assert data.shape == (1, type.block_bytes)
    assert dequantize(type, data)[0].tolist() == expected.tolist()


def test_floats_computed_by_hand() -> None:
    bytes_of = np.array([[0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x20, 0xC0]], dtype=np.uint8)
    assert dequantize(BlockType.F32, bytes_of).tolist() == [[1.0, -2.5]]
    assert dequantize(BlockType.BF16, bytes_of).tolist() == [[0.0, 1.0, 0.0, -2.5]]
    halves = np.array([[0x00, 0x3C, 0x01, 0x00]], dtype=np.uint8)
    assert dequantize(BlockType.F16, halves).tolist() == [[1.0, 2.0**-24]]
