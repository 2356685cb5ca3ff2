"""What training computes beside products: attention in whole sequences, norms, gates, rotations."""

import numpy as np
import pytest
from native_programs import SECTIONS, compute, section
from random_models import tensor_of

from homezoo import _native
from homezoo.formats.blocks import dequantize
from homezoo.ops.reference_gradient import (
    attention_gradient,
    rms_norm_gradient,
    silu_mul_gradient,
)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """L2 norm of the difference, relative to that of what is expected."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


ATTENTIONS = {  # heads, key-value heads, width, window, starts
    "one sequence": (2, 2, 16, 0, (0, 130)),
    "shared keys, packed": (4, 2, 64, 0, (0, 1, 50, 50, 199)),
    "window": (3, 1, 20, 33, (0, 120)),
    "wide": (1, 1, 136, 0, (0, 49)),
}


@pytest.mark.parametrize("sloped", [False, True])
@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("kernels", SECTIONS)
def test_attention_inside_sequences(name: str, kernels: str, sloped: bool) -> None:
    """Values and gradients against the float64 formulas; the same bits in every section."""
    heads, groups, width, window, starts = ATTENTIONS[name]
    random, tokens = np.random.default_rng(0), starts[-1]
    q, dy = random.standard_normal((2, tokens, heads * width), np.float32)
    k, v = random.standard_normal((2, tokens, groups * width), np.float32)
    slopes = np.linspace(0.5, 0.1, heads, dtype=np.float32) if sloped else None
    fixed = (np.array(starts, np.int32), width, 0.3, window)
    found = []
    for kind in (kernels, "plain"):
        with section(kind):
            pool = _native.Threads(2)
            y, statistics = _native.attention(q, k, v, *fixed, pool, slopes)
            rest = _native.attention_gradient(dy, q, k, v, y, statistics, *fixed, pool, slopes)
        found.append([y, *rest])
    for ours, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, plain)
    for ours, right in zip(found[0], attention_gradient(dy, q, k, v, *fixed, slopes), strict=True):
        assert relative(ours, right) < 2e-6


def test_attention_that_does_not_fit_is_refused() -> None:
    x, pool = np.ones((4, 6), np.float32), _native.Threads(1)
    starts = np.array([0, 4], np.int32)
    for k, begins, width, message in (
        (x, starts, 4, "q of 6 and k of 6 values for heads of 4"),
        (x[:, :4].copy(), starts, 2, "q of 6 and k of 4"),
        (x, np.array([0, 3], np.int32), 2, "starts must rise from 0 to 4"),
        (x, np.array([0, 5, 4], np.int32), 2, "starts must rise"),
    ):
        with pytest.raises(ValueError, match=message):
            _native.attention(x, k, k, begins, width, 1.0, 0, pool)
    with pytest.raises(ValueError, match="a slope for each head"):
        _native.attention(x, x, x, starts, 2, 1.0, 0, pool, np.ones(2, np.float32))


@pytest.mark.parametrize("kernels", SECTIONS)
def test_gradients_of_rows(kernels: str) -> None:
    """Norm and gated unit: a few roundings from the float64 formulas; rotations turn back."""
    random = np.random.default_rng(0)
    for width in (3, 8, 515):
        dy, x, up = random.standard_normal((3, 19, width), np.float32)
        weight = random.standard_normal(width, np.float32)
        with section(kernels):
            pool = _native.Threads(2)
            normed = _native.rms_norm(x, weight, 1e-5, pool, dy)
            gated = _native.silu_mul_gradient(dy, 9 * x, up, pool)
        expected = rms_norm_gradient(dy, x, weight, 1e-5)
        np.testing.assert_allclose(normed, expected, rtol=2e-5, atol=2e-5)
        for found, right in zip(gated, silu_mul_gradient(dy, 9 * x, up), strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("halves", [False, True])
def test_rows_have_the_engine_s_bits(halves: bool, kernels: str) -> None:
    random = np.random.default_rng(0)
    x, up = random.standard_normal((2, 19, 64), np.float32)
    weight = tensor_of("w", random.standard_normal(64, np.float32))
    turns = 1.0 / 10000.0 ** (np.arange(6) / 6)
    angles = np.arange(19)[:, None] * turns
    cosine, sine = (f(angles).astype(np.float32) for f in (np.cos, np.sin))
    with section(kernels):
        pool = _native.Threads(2)
        normed = _native.rms_norm(x, dequantize(weight.type, weight.data)[0], 1e-5, pool)
        gated = _native.silu_mul(x, up, pool)
        turned = _native.rotate(x, cosine, sine, 16, halves, False, pool)
        back = _native.rotate(turned, cosine, sine, 16, halves, True, pool)
    same = np.testing.assert_array_equal
    same(normed, compute(lambda ops, v: ops.rms_norm(v, weight, 1e-5), x, kernels=kernels))
    same(gated, compute(lambda ops, v, w: ops.silu_mul(v, w), x, up, kernels=kernels))
    same(turned, compute(lambda ops, v: ops.rope(v, turns, 16, halves), x, kernels=kernels))
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_rows_of_different_shapes_are_refused() -> None:
    x, y, pool = np.ones((3, 8), np.float32), np.ones((3, 9), np.float32), _native.Threads(1)
    with pytest.raises(ValueError, match="gate and up differ in shape"):
        _native.silu_mul(x, y, pool)
    with pytest.raises(ValueError, match="gate and dy differ in shape"):
        _native.silu_mul_gradient(y, x, x, pool)
    with pytest.raises(ValueError, match="rows of 8 values, the weight has 9"):
        _native.rms_norm(x, y[0], 1e-5, pool)
    with pytest.raises(ValueError, match=r"angles \[3, 9\] for heads of 4 values in \[3, 8\]"):
        _native.rotate(x, y, y, 4, False, False, pool)
