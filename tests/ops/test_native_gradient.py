"""Products one at a time, forward and transposed: every section gives the reference's bits."""

from functools import lru_cache

import numpy as np
import pytest
from native_programs import SECTIONS, compute, section
from random_models import tensor_of

from homezoo import _native
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.reference_gradient import (
    PART_ROWS,
    TURNED_ROWS,
    input_gradient_exact,
    input_gradient_floats,
    input_gradient_int8,
    int8_bound,
)
from homezoo.ops.reference_matmul import FLOAT_TYPES, matmul_canonical

TOKENS = (1, 2, 5, 6, 19)  # of a register tile and what is left over
WIDTHS = {1: (1, 3, 172, 515), 32: (32, 96, 288), 256: (256, 768)}
ROWS = PART_ROWS + 37  # a part, and a rest that is no whole number of blocks
QUANTISED = [type for type in BlockType if type not in FLOAT_TYPES]
CASES = [(type, width) for type in BlockType for width in WIDTHS[type.block_size]]


def names(value: object) -> object:
    return getattr(value, "name", value)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """L2 norm of the difference, relative to that of what is expected."""
    difference = found.astype(np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected.astype(np.float64)))


def gradient(
    dy: np.ndarray, weight: Tensor, kernels: str, threads: int = 1, int8: bool = False
) -> np.ndarray:
    """The kernels' dy [T, N] times weight [N, K]: [T, K]."""
    with section(kernels):
        pool = _native.Threads(threads)
        return _native.input_gradient(dy, weight.data, weight.type, weight.width, pool, int8)


@lru_cache
def case(type: BlockType, width: int, rows: int = ROWS) -> tuple[np.ndarray, Tensor]:
    """Gradients [19, N] with a few large values, as real ones have, and a weight [N, K]."""
    random = np.random.default_rng(width)
    weight = tensor_of("w", random.standard_normal((rows, width), np.float32), type)
    return random.standard_t(4, (max(TOKENS), rows)).astype(np.float32), weight


@lru_cache
def expected_floats(type: BlockType, width: int) -> np.ndarray:
    return input_gradient_floats(*case(type, width))


@lru_cache
def expected_int8(type: BlockType, width: int) -> np.ndarray:
    return input_gradient_int8(*case(type, width))


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize(("type", "width"), CASES, ids=names)
def test_exact_gradients_to_the_bit(type: BlockType, width: int, kernels: str) -> None:
    dy, weight = case(type, width)
    for tokens in TOKENS:
        found = gradient(dy[:tokens], weight, kernels)
        np.testing.assert_array_equal(found, expected_floats(type, width)[:tokens])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize(("type", "width"), [c for c in CASES if c[0] in QUANTISED], ids=names)
def test_int8_gradients_to_the_bit(type: BlockType, width: int, kernels: str) -> None:
    dy, weight = case(type, width)
    for tokens in TOKENS:
        found = gradient(dy[:tokens], weight, kernels, int8=True)
        np.testing.assert_array_equal(found, expected_int8(type, width)[:tokens])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("rows", [1, 31, TURNED_ROWS, TURNED_ROWS + 1, 2 * TURNED_ROWS + 65])
def test_any_number_of_rows(rows: int, kernels: str) -> None:
    dy, weight = case(BlockType.Q4_0, 64, rows)
    expected = input_gradient_floats(dy, weight)
    np.testing.assert_array_equal(gradient(dy, weight, kernels), expected)
    expected = input_gradient_int8(dy, weight)
    np.testing.assert_array_equal(gradient(dy, weight, kernels, int8=True), expected)


@pytest.mark.parametrize("type", BlockType, ids=names)
def test_exact_gradients_are_within_float_rounding(type: BlockType) -> None:
    """G1: relative L2 error at most 1e-5 of the float64 product with the dequantised weight."""
    dy, weight = case(type, WIDTHS[type.block_size][-1], 1061)
    expected = dy.astype(np.float64) @ dequantize(type, weight.data).astype(np.float64)
    error = relative(gradient(dy, weight, SECTIONS[-1]), expected)
    assert error <= 1e-6, error
    np.testing.assert_array_equal(input_gradient_exact(dy, weight), expected.astype(np.float32))


@pytest.mark.parametrize("type", QUANTISED, ids=names)
def test_int8_gradients_are_within_their_bound(type: BlockType) -> None:
    """G2: each element within its own bound; together 2e-2 and a cosine of 0.9995."""
    dy, weight = case(type, WIDTHS[type.block_size][-1], 1061)
    expected = dy.astype(np.float64) @ dequantize(type, weight.data).astype(np.float64)
    found = gradient(dy, weight, SECTIONS[-1], int8=True)
    assert (np.abs(found - expected) <= int8_bound(dy, weight)).all()
    assert 1e-3 < relative(found, expected) <= 1.5e-2  # the lower end: it is the int8 way
    sizes = np.linalg.norm(found.astype(np.float64)) * np.linalg.norm(expected)
    assert (found * expected).sum() / sizes >= 0.9995


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("kernels", SECTIONS[-1:])
def test_the_same_bits_with_more_threads_and_tokens(kernels: str, int8: bool) -> None:
    """Few strips for many threads: tokens are shared, too."""
    random = np.random.default_rng(0)
    weight = tensor_of("w", random.standard_normal((200, 288), np.float32), BlockType.Q8_0)
    dy = random.standard_normal((401, 200), np.float32)
    expected = gradient(dy, weight, kernels, int8=int8)
    for threads in (2, 3):
        np.testing.assert_array_equal(gradient(dy, weight, kernels, threads, int8), expected)
    alone = [gradient(dy[t : t + 1], weight, kernels, int8=int8) for t in (0, 130, 400)]
    np.testing.assert_array_equal(np.concatenate(alone), expected[[0, 130, 400]])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("int8", [False, True])
def test_zero_tiny_and_huge_gradients(kernels: str, int8: bool) -> None:
    dy, weight = case(BlockType.Q4_K, 256)
    dy = dy[:6] * np.float32([0, 1e-42, 1e-37, 1, 1e20, 1e30])[:, None]
    reference = input_gradient_int8 if int8 else input_gradient_floats
    np.testing.assert_array_equal(gradient(dy, weight, kernels, int8=int8), reference(dy, weight))


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=names)
def test_a_single_product_has_the_engine_s_bits(type: BlockType, kernels: str) -> None:
    _, weight = case(type, WIDTHS[type.block_size][-1])
    random = np.random.default_rng(1)
    x = random.standard_normal((40, weight.width), np.float32)
    for tokens in (1, 5, 40):
        expected = compute(lambda ops, v: ops.matmul(v, weight), x[:tokens], kernels=kernels)
        for threads in (1, 3):
            with section(kernels):
                pool = _native.Threads(threads)
                form = (weight.data, weight.type, weight.width, pool)
                found = _native.matmul(x[:tokens], *form)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=names)
def test_an_exact_product_is_that_with_dequantised_rows(type: BlockType, kernels: str) -> None:
    _, weight = case(type, WIDTHS[type.block_size][0])
    x = np.random.default_rng(1).standard_normal((19, weight.width), np.float32)
    floats = tensor_of("w", dequantize(type, weight.data))
    with section(kernels):
        form = (weight.data, weight.type, weight.width, _native.Threads(2), True)
        found = _native.matmul(x, *form)
    np.testing.assert_array_equal(found, matmul_canonical(x, floats))


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 131, 3), (13, 16, 300), (37, 200, 65)])
def test_products_of_floats(shape: tuple[int, int, int], kernels: str) -> None:
    """The bits of an exact input gradient, whichever way the matrices lie; or added to a result."""
    m, r, n = shape
    random = np.random.default_rng(0)
    a, b = random.standard_normal((m, r), np.float32), random.standard_normal((r, n), np.float32)
    expected = input_gradient_floats(a, tensor_of("b", b))
    turned_a, turned_b = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    with section(kernels):
        pool = _native.Threads(2)
        for left, a_turned in ((a, False), (turned_a, True)):
            for right, b_turned in ((b, False), (turned_b, True)):
                found = _native.multiply(left, right, pool, a_turned, b_turned)
                np.testing.assert_array_equal(found, expected)
        if r <= PART_ROWS:  # parts are added to the result one by one
            result = np.ones((m, n), np.float32)
            assert _native.multiply(a, b, pool, into=result) is None
            np.testing.assert_array_equal(result, 1 + expected)
    with pytest.raises(ValueError, match=f"sums over {r} and {r + 1} values"):
        _native.multiply(a, np.ones((r + 1, n), np.float32), pool)
    with pytest.raises(ValueError, match="a result of another shape"):
        _native.multiply(a, b, pool, into=np.ones((m, n + 1), np.float32))


def test_no_tokens_give_none() -> None:
    dy, weight = case(BlockType.Q4_0, 64)
    assert gradient(dy[:0], weight, SECTIONS[-1]).shape == (0, 64)
    assert gradient(dy[:0], weight, SECTIONS[-1], int8=True).shape == (0, 64)


def test_wrong_widths_and_types_are_refused() -> None:
    dy, weight = case(BlockType.Q4_0, 64)
    pool = _native.Threads(1)
    with pytest.raises(ValueError, match="gradients of 64 values, the weight has 165"):
        _native.input_gradient(dy[:, :64].copy(), weight.data, weight.type, 64, pool)
    with pytest.raises(ValueError, match="activations of 165 values, the weight has 64"):
        _native.matmul(dy, weight.data, weight.type, 64, pool)
    with pytest.raises(ValueError, match="rows of 36 bytes, expected 18"):
        _native.input_gradient(dy, weight.data, weight.type, 32, pool)
    floats = tensor_of("w", np.ones((165, 4), np.float32))
    with pytest.raises(ValueError, match="int8 is for quantised weights, tensor type 0"):
        _native.input_gradient(dy, floats.data, floats.type, 4, pool, True)
    with pytest.raises(TypeError):
        _native.input_gradient(dy.astype(np.float64), weight.data, weight.type, 64, pool)
