"""Every other native operation against the reference, and the same bits from every section."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from native_programs import BEST, SECTIONS, compute
from random_models import tensor_of

from homezoo.ops.reference import ReferenceOps

TOKENS = 5
ULP = 2.0**-23  # of numbers from 1 to 2


def draw(width: int, seed: int = 0, size: float = 1.0) -> np.ndarray:
    """float32 [TOKENS, width] of deviation `size`."""
    drawn = np.random.default_rng(seed).standard_normal((TOKENS, width), np.float32)
    return drawn * np.float32(size)


def vector(width: int, seed: int) -> Any:
    return tensor_of("v", np.random.default_rng(seed).standard_normal(width, np.float32))


def check(
    build: Callable[..., Any],
    *inputs: np.ndarray,
    rtol: float,
    atol: float = 0.0,
    positions: list[int] | None = None,
) -> None:
    """Native within the bounds of the reference, and every section equal to the plain one."""
    places = np.arange(TOKENS) if positions is None else np.array(positions)
    batch: Any = SimpleNamespace(positions=places)
    expected = build(ReferenceOps(batch, None, exact=False), *inputs)  # type: ignore[arg-type]
    plain = compute(build, *inputs, kernels="plain", positions=positions)
    np.testing.assert_allclose(plain, expected, rtol=rtol, atol=atol)
    for kernels in SECTIONS:
        found = compute(build, *inputs, kernels=kernels, positions=positions)
        np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("width", [1, 8, 172, 1000, 4096])
def test_rms_norm(width: int, size: float) -> None:
    weight = vector(width, 1)
    # the sum of squares is eight chains: a few units in the last place for any width
    check(lambda ops, x: ops.rms_norm(x, weight, 1e-5), draw(width, size=size), rtol=8 * ULP)


def test_rms_norm_of_groups() -> None:
    weight = vector(32, 1)
    check(lambda ops, x: ops.rms_norm(x, weight, 1e-6, group=32), draw(160), rtol=8 * ULP)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("width", [3, 8, 172, 4096])
def test_layer_norm(width: int, biased: bool) -> None:
    weight, bias = vector(width, 1), vector(width, 2) if biased else None
    x = draw(width) + np.float32(3)  # a mean that must be taken off
    check(lambda ops, v: ops.layer_norm(v, weight, bias, 1e-5), x, rtol=8 * ULP, atol=1e-5)


@pytest.mark.parametrize("width", [1, 8, 11, 172, 4099])
def test_silu_mul(width: int) -> None:
    gate, up = draw(width, 1, size=4), draw(width, 2)
    check(lambda ops, g, u: ops.silu_mul(g, u), gate, up, rtol=8 * ULP)


def test_silu_mul_far_from_zero() -> None:
    ends = np.float32([-1e30, -1000, -100, -88, -87, -20, -0.0, 0.0, 20, 87, 88, 100, 1000, 1e30])
    gate = np.tile(ends, (TOKENS, 1))
    # e^-x is held at e^88.4, so a gate below -88 gives 1e-37 of up instead of less
    check(lambda ops, g, u: ops.silu_mul(g, u), gate, np.ones_like(gate), rtol=8 * ULP, atol=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1.0, 10.0, 1000.0])
def test_gelu(size: float) -> None:
    # near -3 the result is a small difference of the paper's formula; its size is that of x
    check(lambda ops, x: ops.gelu(x), draw(1003, size=size), rtol=1e-5, atol=size * 4 * ULP)


@pytest.mark.parametrize("size", [1e-6, 1.0, 10.0, 1000.0])
def test_gelu_with_erf(size: float) -> None:
    # the polynomial's error is 1.5e-7 of x at most
    x = draw(1003, size=size)
    check(lambda ops, v: ops.gelu(v, exact=True), x, rtol=4 * ULP, atol=size * 4e-7)


@pytest.mark.parametrize("cap", [30.0, 50.0])
@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0, 1e5])
def test_soft_cap(size: float, cap: float) -> None:
    check(lambda ops, x: ops.soft_cap(x, cap), draw(1003, size=size), rtol=0, atol=cap * 4e-7)


def test_clamped_swiglu() -> None:
    gate, up = draw(1003, 1, size=6), draw(1003, 2, size=6)
    check(lambda ops, g, u: ops.clamped_swiglu(g, u, 1.702, 7.0), gate, up, rtol=8 * ULP, atol=1e-5)


def test_scale_multiply_and_columns_are_exact() -> None:
    check(lambda ops, x: ops.scale(x, 0.3), draw(77), rtol=0)
    check(lambda ops, x, y: ops.multiply(x, y), draw(77), draw(77, 1), rtol=0)
    check(lambda ops, x: ops.columns(x, 5, 40), draw(77), rtol=0)


def test_embedding_of_positions() -> None:
    table = tensor_of("positions", draw(24)[[0, 1, 2, 3, 4, 0, 1]])
    places = [6, 0, 3, 3, 2]
    check(lambda ops, x: ops.add(x, ops.embed_positions(table)), draw(24), rtol=0, positions=places)
    with pytest.raises(ValueError, match="position 7 is beyond the 7 that the model has learned"):
        compute(lambda ops, x: ops.embed_positions(table), draw(24), positions=[7, 0, 0, 0, 0])


def test_add_and_add_bias_are_exact() -> None:
    bias = vector(77, 3)
    check(lambda ops, x, y: ops.add(x, y), draw(77), draw(77, 1), rtol=0)
    check(lambda ops, x: ops.add_bias(x, bias), draw(77), rtol=0)


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_low_rank(rank: int) -> None:
    random = np.random.default_rng(6)
    a = random.standard_normal((rank, 172), np.float32) / np.float32(172**0.5)
    b = random.standard_normal((37, rank), np.float32)
    x, y = draw(172), draw(37, 1)
    check(lambda ops, u, v: ops.low_rank(u, v, a, b, 0.5), x, y, rtol=0, atol=rank**0.5 * 4e-6)


def test_low_rank_takes_factors_in_any_memory_order() -> None:
    """Views of NumPy arrays are copied for the program, which keeps the copy alive."""
    a, b = np.asfortranarray(draw(8, 1)[:3]), draw(6, 2)[:3].T  # [3, 8], [6, 3]
    x, y = draw(8), draw(6, 1)
    check(lambda ops, u, v: ops.low_rank(u, v, a, b, 1.0), x, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize(("head_width", "pairs"), [(8, 4), (64, 32), (80, 16), (6, 1)])
def test_rope(halves: bool, head_width: int, pairs: int) -> None:
    frequencies = 10000.0 ** -(np.arange(pairs) / pairs)
    x = draw(3 * head_width)
    for positions in ([0, 1, 2, 3, 4], [5, 63, 64, 4095, 131071]):
        check(
            lambda ops, v: ops.rope(v, frequencies, head_width, halves, 1.25),
            x,
            positions=positions,
            rtol=0,
            atol=float(np.abs(x).max()) * 1.25 * 3 * ULP,
        )


def test_rope_leaves_the_rest_of_a_head_as_it_is() -> None:
    x, frequencies = draw(24), np.array([1.0, 0.5])
    found = compute(lambda ops, v: ops.rope(v, frequencies, 8, True), x)
    np.testing.assert_array_equal(
        found.reshape(TOKENS, 3, 8)[..., 4:], x.reshape(-1, 3, 8)[..., 4:]
    )


def test_ropes_of_one_program_do_not_mix_their_angles() -> None:
    """Angles are computed once for all layers, but not across frequencies or magnitudes."""
    x, slow, fast = draw(8), np.array([0.1, 0.01]), np.array([1.0, 0.5])

    def build(ops: Any, v: Any) -> Any:
        for frequencies, magnitude in ((slow, 1.0), (fast, 1.0), (fast, 1.5), (slow, 1.0)):
            v = ops.rope(v, frequencies, 4, False, magnitude)
        return v

    check(build, x, rtol=0, atol=1e-5)


def test_values_that_are_read_late_keep_their_memory() -> None:
    """Slots of memory are reused; a value with a late reader must not be overwritten before it."""
    random = np.random.default_rng(8)
    weights = [tensor_of("w", random.standard_normal((24, 24)) / 5) for _ in range(6)]

    def build(ops: Any, x: Any) -> Any:
        values = [x]
        for weight in weights:
            values.append(ops.gelu(ops.matmul(values[-1], weight)))
        total = values[0]
        for value in values[1:]:
            total = ops.add(total, value)
        return total

    check(build, draw(24), rtol=1e-4, atol=1e-5)


def test_a_value_can_be_the_output_and_read_further() -> None:
    x = draw(16)
    weight = tensor_of("w", np.eye(16, dtype=np.float32))
    found = compute(lambda ops, v: (ops.matmul(v, weight), ops.gelu(v))[0], x, kernels=BEST)
    np.testing.assert_array_equal(found, x)
