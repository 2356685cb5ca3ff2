"""Products with weights: the exact one, and the kernels' canonical sum held to its definition."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_models import tensor_of

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize, integer_blocks
from homezoo.formats.tensor import Tensor
from homezoo.ops.reference_matmul import (
    fma,
    matmul_canonical,
    matmul_exact,
    round_activations,
)

QUANTISED = [type for type in BlockType if type.block_size > 1]
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def random_weight(type: BlockType, rows: int, width: int, seed: int = 0) -> Tensor:
    """Weights made of values that the type can hold, by quantising random ones."""
    values = np.random.default_rng(seed).standard_normal((rows, width), np.float32)
    return tensor_of("w", values, type)


def activations(tokens: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((tokens, width), np.float32)


def nearest_float32(value: Fraction) -> np.float32:
    """The float32 nearest to an exact number, ties to even, searched around a first guess."""
    guess = np.float32(float(value))
    around = [
        np.nextafter(guess, np.float32(-np.inf)),
        guess,
        np.nextafter(guess, np.float32(np.inf)),
    ]
    finite = [f for f in around if np.isfinite(f)]
    return min(finite, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.int32)) & 1))


@given(floats, floats, floats)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    found = fma(*(np.array([value], np.float32) for value in (a, b, c)))[0]
    if abs(exact) < Fraction(float(np.finfo(np.float32).max)):
        assert found == nearest_float32(exact)


def test_fma_where_rounding_twice_would_be_wrong() -> None:
    # 1 + 2^-24 is halfway between two float32; 2^-80 more decides, and float64 cannot hold it.
    a = np.array([2.0**-40], np.float32)
    half = np.array([1 + 2.0**-23], np.float32)
    tiny = fma(a, a, np.zeros(1, np.float32))
    assert tiny[0] == np.float32(2.0**-80)
    product = np.array([2.0**-12 * (1 + 2.0**-23)], np.float32)
    other = np.array([2.0**-12 * (1 - 2.0**-23)], np.float32)  # product 2^-24 - 2^-70
    found = fma(product, other, half)[0]
    assert np.float32(np.float64(product[0]) * other[0] + half[0]) == np.float32(1 + 2.0**-22)
    assert found == half[0]


def test_round_activations_by_hand() -> None:
    x = np.zeros((1, 64), np.float32)
    x[0, :4] = [127.0, -0.5, 1.5, 2.5]  # ties go to even
    codes, scales = round_activations(x, 32)
    assert codes[0, 0, :4].tolist() == [127, 0, 2, 2]
    assert scales.tolist() == [[1.0, 0.0]]
    assert not codes[0, 1].any()


def test_round_activations_of_numbers_too_small_to_invert() -> None:
    codes, scales = round_activations(np.full((1, 32), 1e-40, np.float32), 32)
    assert not codes.any() and np.isfinite(scales).all()


@given(st.integers(0, 2**32 - 1))
def test_rounded_activations_are_within_half_a_step(seed: int) -> None:
    x = activations(3, 256, seed)
    codes, scales = round_activations(x, 32)
    error = np.abs(codes * scales[..., None] - x.reshape(3, 8, 32))
    assert (error <= scales[..., None] * 0.5001).all()


@pytest.mark.parametrize("type", BlockType)
def test_exact_product(type: BlockType) -> None:
    weight, x = random_weight(type, 5, 512), activations(3, 512)
    expected = x.astype(np.float64) @ dequantize(type, weight.data).astype(np.float64).T
    found = matmul_exact(x, weight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("type", QUANTISED)
def test_canonical_product_follows_its_definition(type: BlockType) -> None:
    """Element by element, with Python's whole numbers and one fma at a time."""
    weight, x = random_weight(type, 3, 512), activations(2, 512)
    parts = integer_blocks(type, weight.data)
    codes, scales = round_activations(x, type.block_size)
    expected = np.empty((2, 3), np.float32)
    for token in range(2):
        for row in range(3):
            total = np.float32(0)
            for block in range(512 // type.block_size):
                grouped = codes[token, block].reshape(parts.codes.shape[2:]).astype(int)
                weights = parts.codes[row, block].astype(int)
                inner = (weights * grouped).sum(axis=1) * parts.group_scale[row, block]
                scale = parts.scale[row, block] * scales[token, block]
                total = fma(np.float32([inner.sum()]), np.float32([scale]), total)[0]
                if parts.min_scale is not None and parts.group_min is not None:
                    minimum = int((grouped.sum(axis=1) * parts.group_min[row, block]).sum())
                    scale = parts.min_scale[row, block] * scales[token, block]
                    total = fma(np.float32([-minimum]), np.float32([scale]), total)[0]
            expected[token, row] = total
    np.testing.assert_array_equal(matmul_canonical(x, weight), expected)


@pytest.mark.parametrize("type", QUANTISED)
def test_canonical_product_differs_by_the_rounding_alone(type: BlockType) -> None:
    """|error| is at most half a step of each activation times its weight, summed."""
    weight, x = random_weight(type, 8, 512), activations(4, 512)
    _, scales = round_activations(x, type.block_size)
    steps = np.repeat(scales, type.block_size, axis=1).astype(np.float64)  # [T, K]
    values = np.abs(dequantize(type, weight.data).astype(np.float64))
    bound = 0.5001 * steps @ values.T + 1e-4
    error = np.abs(matmul_canonical(x, weight).astype(np.float64) - matmul_exact(x, weight))
    assert (error <= bound).all() and error.max() > 0


@pytest.mark.parametrize("type", [BlockType.F32, BlockType.F16, BlockType.BF16])
@pytest.mark.parametrize("width", [8, 172, 3])
def test_canonical_float_product_has_eight_lanes(type: BlockType, width: int) -> None:
    weight, x = random_weight(type, 3, width), activations(2, width)
    values = dequantize(type, weight.data)
    expected = np.empty((2, 3), np.float32)
    for token in range(2):
        for row in range(3):
            s = [np.float32(0)] * 8
            for k in range(width):
                s[k % 8] = fma(values[row, k : k + 1], x[token, k : k + 1], s[k % 8])[0]
            expected[token, row] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    found = matmul_canonical(x, weight)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, matmul_exact(x, weight), atol=1e-5)


@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q4_0, BlockType.Q4_K])
@pytest.mark.parametrize("product", [matmul_exact, matmul_canonical])
def test_result_of_a_token_and_row_is_theirs_alone(type: BlockType, product: object) -> None:
    assert callable(product)
    weight, x = random_weight(type, 6, 512), activations(7, 512)
    whole = product(x, weight)
    part = Tensor("w", type, (2, 512), weight.data[3:5])
    np.testing.assert_array_equal(product(x[4:5], part), whole[4:5, 3:5])
