"""Every kernel of every section gives the one canonical sum, bit for bit, within bounds."""

from functools import lru_cache

import numpy as np
import pytest
from native_programs import SECTIONS, compute, section
from random_models import tensor_of

from homezoo import _native
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.reference_matmul import FLOAT_TYPES, matmul_canonical, round_activations

TOKENS = (1, 2, 3, 5, 16, 17, 40)  # pairs, tiles and groups of every section, and what is left over
ROWS = (1, 5, 19, 37, 67)  # none a whole number of 32-row tiles
WIDTHS = {1: (1, 3, 172, 515, 2048), 32: (32, 96, 160, 1056), 256: (256, 768, 1280)}

# Where a block has its float scales; every other byte may be anything. MXFP4's is an exponent.
SCALE_BYTES = {
    BlockType.Q4_0: (0, 2),
    BlockType.Q4_1: (0, 4),
    BlockType.Q5_0: (0, 2),
    BlockType.Q5_1: (0, 4),
    BlockType.Q8_0: (0, 2),
    BlockType.Q2_K: (80, 84),
    BlockType.Q3_K: (108, 110),
    BlockType.Q4_K: (0, 4),
    BlockType.Q5_K: (0, 4),
    BlockType.Q6_K: (208, 210),
    BlockType.IQ4_NL: (0, 2),
    BlockType.IQ4_XS: (0, 2),
    BlockType.MXFP4: (0, 1),
}

# Root mean square of the error against the float64 product, relative to that of the product, for
# normal weights and activations. An activation's rounding error is uniform within a step of
# max / 127: 1/127/√12 of a block's maximum, which is about 2.1 deviations for 32 values and 2.8
# for 256. Float formats lose only what float32 sums lose.
RELATIVE_ERROR = {1: 3e-7, 32: 0.0055, 256: 0.0072}


def native_product(x: np.ndarray, weight: Tensor, kernels: str, threads: int = 1) -> np.ndarray:
    """The kernels' x [T, K] times weight [N, K] transposed: [T, N]."""
    return compute(lambda ops, v: ops.matmul(v, weight), x, kernels=kernels, threads=threads)


@lru_cache
def case(type: BlockType, width: int) -> tuple[np.ndarray, Tensor, np.ndarray]:
    """Activations [40, K], weight [67, K] and the canonical product [40, 67]; computed once."""
    random = np.random.default_rng(width)
    weight = tensor_of("w", random.standard_normal((max(ROWS), width), np.float32), type)
    x = random.standard_normal((max(TOKENS), width), np.float32)
    return x, weight, matmul_canonical(x, weight)


def first_rows(weight: Tensor, rows: int) -> Tensor:
    return Tensor(weight.name, weight.type, (rows, weight.width), weight.data[:rows])


CASES = [(type, width) for type in BlockType for width in WIDTHS[type.block_size]]


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize(("type", "width"), CASES, ids=lambda v: getattr(v, "name", v))
def test_the_canonical_sum_to_the_bit(type: BlockType, width: int, kernels: str) -> None:
    x, weight, expected = case(type, width)
    for rows in ROWS:
        for tokens in TOKENS:
            found = native_product(x[:tokens], first_rows(weight, rows), kernels)
            np.testing.assert_array_equal(found, expected[:tokens, :rows])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_the_same_bits_with_more_threads(type: BlockType, kernels: str) -> None:
    x, weight, expected = case(type, WIDTHS[type.block_size][-1])
    for threads in (2, 3):
        for tokens in (1, 17):
            found = native_product(x[:tokens], weight, kernels, threads)
            np.testing.assert_array_equal(found, expected[:tokens])


def extreme_weight(type: BlockType, fill: int | None) -> Tensor:
    """19 rows of 512 values whose codes and inner scales are all `fill`, or any byte; scales 2."""
    blocks = 512 // type.block_size
    shape = (19, blocks, type.block_bytes)
    random = np.random.default_rng(3)
    data = random.integers(0, 256, shape, np.uint8) if fill is None else np.full(shape, fill, "u1")
    start, stop = SCALE_BYTES[type]
    two = np.frombuffer(b"\x80" if type is BlockType.MXFP4 else b"\x00\x40\x00\x40", np.uint8)
    data[:, :, start:stop] = two[: stop - start]
    return Tensor("w", type, (19, 512), data.reshape(19, -1))


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", SCALE_BYTES, ids=lambda type: type.name)
def test_extreme_codes_overflow_nothing(type: BlockType, kernels: str) -> None:
    """All codes at either end, then any bytes, against activations that all round to ±127."""
    signs = np.random.default_rng(4).choice(np.float32([-1, 1]), (3, 512))
    x = np.concatenate([np.ones((1, 512), np.float32), -np.ones((1, 512), np.float32), signs])
    for fill in (0x00, 0x80, 0x7F, 0xFF, None):
        weight = extreme_weight(type, fill)
        expected = matmul_canonical(x, weight)  # [5, 19]
        assert np.isfinite(expected).all()
        for part in (slice(0, 5), slice(0, 2), slice(2, 3)):
            found = native_product(x[part], weight, kernels)
            np.testing.assert_array_equal(found, expected[part])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_zero_tiny_and_huge_activations(type: BlockType, kernels: str) -> None:
    _, weight, _ = case(type, WIDTHS[type.block_size][-1])
    x = np.random.default_rng(5).standard_normal((7, weight.width), np.float32)
    x *= np.float32([0, 1e-42, 1e-37, 1e-30, 1, 1e20, 1e30])[:, None]
    expected = matmul_canonical(x, weight)
    np.testing.assert_array_equal(native_product(x, weight, kernels), expected)
    for token in range(len(x)):
        found = native_product(x[token : token + 1], weight, kernels)
        np.testing.assert_array_equal(found[0], expected[token])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_error_against_the_float64_product(type: BlockType, kernels: str) -> None:
    """Every element within its own bound, and the whole within the format's.

    An element's bound is half a step of each activation times its weight, and for each rounding of
    the float chain 2^-24 of the sum of magnitudes: two a block, or K / 8 and the last three adds.
    """
    x, weight, _ = case(type, WIDTHS[type.block_size][-1])
    wide, values = x.astype(np.float64), dequantize(type, weight.data).astype(np.float64)
    exact = wide @ values.T
    found = native_product(x, weight, kernels)
    sizes = np.abs(wide) @ np.abs(values).T  # [T, N]
    if type in FLOAT_TYPES:
        bound = (weight.width / 8 + 3) * 2.0**-24 * sizes
    else:
        _, scales = round_activations(x, type.block_size)
        steps = np.repeat(scales, type.block_size, axis=1).astype(np.float64)  # [T, K]
        # formats with minima add numbers that may be larger than their difference: 8 times is ample
        chain = 8 * 4 * (weight.width / type.block_size) * 2.0**-24
        bound = 0.5001 * steps @ np.abs(values).T + chain * sizes
    error = np.abs(found - exact)
    assert (error <= bound).all()
    relative = np.sqrt(np.mean(error**2) / np.mean(exact**2))
    assert relative <= RELATIVE_ERROR[type.block_size], relative
    if type not in FLOAT_TYPES:
        assert relative > RELATIVE_ERROR[type.block_size] / 3  # the bound says something


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_embedding_rows_are_the_specification_s(type: BlockType, kernels: str) -> None:
    """Embedding dequantises rows: equal to formats/blocks, bit for bit, on any bytes."""
    if type in SCALE_BYTES:
        table = extreme_weight(type, None)
    else:
        _, table, _ = case(type, 515)
    expected = dequantize(type, table.data)
    with section(kernels):
        found = _native.dequantize(table.data, type, table.width)
    np.testing.assert_array_equal(found, expected)
