"""Quantising: equal to the `gguf` package where that can, and of bounded error everywhere."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize

# Error relative to the RMS of normally distributed weights; measured, plus 3 %.
RELATIVE_RMS = {
    BlockType.F32: 0.0,
    BlockType.F16: 0.00022,
    BlockType.BF16: 0.00171,
    BlockType.Q4_0: 0.0886,
    BlockType.Q4_1: 0.0806,
    BlockType.Q5_0: 0.0441,
    BlockType.Q5_1: 0.0390,
    BlockType.Q8_0: 0.00553,
    BlockType.Q2_K: 0.279,
    BlockType.Q3_K: 0.148,
    BlockType.Q4_K: 0.0735,
    BlockType.Q5_K: 0.0368,
    BlockType.Q6_K: 0.0179,
    BlockType.IQ4_NL: 0.0757,
    BlockType.IQ4_XS: 0.0764,
    BlockType.MXFP4: 0.120,
}
# Scales are float16, so up to 2^-25 of one may be rounded away; times the largest product of group
# scale and code (Q6_K: 128 * 32), this is what a block of tiny values may lose.
VANISHING = 128 * 32 * 2.0**-25
# What the gguf package can make.
IN_GGUF = (
    BlockType.F32,
    BlockType.F16,
    BlockType.BF16,
    BlockType.Q4_0,
    BlockType.Q4_1,
    BlockType.Q5_0,
    BlockType.Q5_1,
    BlockType.Q8_0,
    BlockType.MXFP4,
)
# Quantised values are fixed points of these. The affine types lose it to rounding of the range
# where the minimum is far larger than the scale; the searches may find a better scale.
IDEMPOTENT = (
    BlockType.F32,
    BlockType.F16,
    BlockType.BF16,
    BlockType.Q4_0,
    BlockType.Q5_0,
    BlockType.Q8_0,
    BlockType.MXFP4,
)


def normal(rows: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, width), dtype=np.float32) * np.float32(0.03)


def hard_rows() -> np.ndarray:
    """float32 [9, 256]: rows that have broken quantisers."""
    rows = np.zeros((9, 256), dtype=np.float32)
    rows[1] = 5.0  # equal values
    rows[2] = -5.0
    rows[3, 7] = 1000.0  # one outlier among zeros
    rows[4] = normal(1, 256)[0] * 1e-3
    rows[4, 100] = -200.0
    rows[5] = 1e-40  # denormal
    rows[6] = np.where(np.arange(256) % 2, 65504.0, -65504.0)
    rows[7] = 1e-7  # scales fall below the smallest float16
    rows[8] = 3.0 + normal(1, 256)[0] * 1e-2  # far from zero
    return rows


def as_gguf(type: BlockType, values: np.ndarray) -> np.ndarray:
    made = gguf.quants.quantize(values, gguf.GGMLQuantizationType(int(type)))
    return np.ascontiguousarray(made).view(np.uint8)


@pytest.mark.parametrize("type", IN_GGUF)
def test_quantize_equals_gguf_byte_for_byte(type: BlockType) -> None:
    laplace = np.random.default_rng(1).laplace(size=(200, 512)).astype(np.float32)
    for values in (normal(700, 512), laplace, np.rint(laplace), hard_rows()[[0, 1, 2, 3, 4, 6, 8]]):
        assert np.array_equal(quantize(type, values), as_gguf(type, values))


@pytest.mark.parametrize("type", BlockType)
def test_dequantize_equals_gguf_bit_for_bit_on_quantised_values(type: BlockType) -> None:
    data = quantize(type, normal(100, 768))
    theirs = gguf.quants.dequantize(data, gguf.GGMLQuantizationType(int(type)))
    assert dequantize(type, data).tobytes() == np.ascontiguousarray(theirs).tobytes()


@pytest.mark.parametrize("type", BlockType)
def test_error_on_normal_weights_stays_below_the_bound_of_its_format(type: BlockType) -> None:
    values = normal(256, 1024)
    difference = dequantize(type, quantize(type, values)) - values
    relative = np.sqrt(np.mean(difference**2) / np.mean(values**2))
    assert relative <= RELATIVE_RMS[type]
    assert relative >= 0.9 * RELATIVE_RMS[type]  # the stated bound is not idle


@pytest.mark.parametrize("type", BlockType)
def test_no_value_is_ever_worse_than_zero_would_be_for_its_block(type: BlockType) -> None:
    values = hard_rows()
    stored = dequantize(type, quantize(type, values))
    assert np.isfinite(stored).all()
    blocks = np.abs(values).reshape(-1, type.block_size)
    error = np.abs(stored - values).reshape(-1, type.block_size).max(axis=1)
    assert (error <= np.maximum(blocks.max(axis=1), VANISHING)).all()
    assert not stored[0].any()  # zeros stay zeros


@pytest.mark.parametrize("type", IDEMPOTENT)
def test_quantised_values_are_fixed_points(type: BlockType) -> None:
    for values in (normal(200, 512), hard_rows()[[0, 1, 2, 3, 4, 8]]):
        stored = dequantize(type, quantize(type, values))
        again = dequantize(type, quantize(type, stored))
        assert np.array_equal(again, stored)  # all but the sign of zeros


@pytest.mark.parametrize("type", [type for type in BlockType if type not in IDEMPOTENT])
def test_quantising_twice_hardly_moves_values(type: BlockType) -> None:
    values = dequantize(type, quantize(type, normal(200, 512)))
    again = dequantize(type, quantize(type, values))
    drift = np.sqrt(np.mean((again - values) ** 2) / np.mean(values**2))
    # Where scale and minimum are searched together, a second search may end at other integers.
    with_minima = type in (BlockType.Q2_K, BlockType.Q4_K, BlockType.Q5_K)
    assert drift <= (0.2 if with_minima else 0.05) * RELATIVE_RMS[type]


@pytest.mark.parametrize("type", BlockType)
def test_bytes_of_a_row_depend_on_that_row_alone(type: BlockType) -> None:
    values = normal(600, 512)  # more than one chunk
    together = quantize(type, values)
    assert np.array_equal(quantize(type, values[511:514]), together[511:514])
    strided = np.repeat(values[:3], 2, axis=1)[:, ::2]  # not contiguous
    assert np.array_equal(quantize(type, strided), together[:3])


@pytest.mark.parametrize("type", BlockType)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_error_naming_the_row(type: BlockType, bad: float) -> None:
    values = normal(1200, 256)
    values[1100, 77] = bad
    with pytest.raises(GGUFError, match=rf"{type.name}: row 1100 holds {bad} at element 77"):
        quantize(type, values)


def test_a_value_beyond_the_range_of_the_format_is_an_error() -> None:
    values = np.full((2, 256), 1e5, dtype=np.float32)
    with pytest.raises(
        GGUFError, match="row 0 holds 100000.0 at element 0, which is beyond ±65504"
    ):
        quantize(BlockType.Q4_K, values)
    assert np.isfinite(dequantize(BlockType.MXFP4, quantize(BlockType.MXFP4, values))).all()


def test_a_width_of_no_whole_number_of_blocks_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="Q6_K needs rows of a multiple of 256 .* found 172"):
        quantize(BlockType.Q6_K, np.zeros((1, 172), dtype=np.float32))


@settings(max_examples=200, deadline=None)
@given(
    type=st.sampled_from(list(BlockType)),
    values=st_numpy.arrays(np.float32, (1, 256), elements=st.floats(-65504, 65504, width=32)),
)
def test_any_finite_block_is_stored_within_its_own_range(
    type: BlockType, values: np.ndarray
) -> None:
    stored = dequantize(type, quantize(type, values))
    largest = np.abs(values).reshape(-1, type.block_size).max(axis=1, keepdims=True)
    error = np.abs(stored - values).reshape(-1, type.block_size)
    assert (error <= np.maximum(largest, VANISHING)).all()
