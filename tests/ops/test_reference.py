"""Each operation of the reference backend against its formula, written out number by number."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from random_models import tensor_of

from homezoo.errors import OptionError
from homezoo.formats.block_types import BlockType
from homezoo.ops.reference import ReferenceOps


def ops_for(positions: list[int], **more: Any) -> ReferenceOps:
    """Operations for one sequence's tokens at these positions, without a cache."""
    batch = SimpleNamespace(positions=np.array(positions, np.int32), **more)
    return ReferenceOps(batch, None, exact=True)  # type: ignore[arg-type]


X = np.random.default_rng(0).standard_normal((3, 8), np.float32)
WEIGHT = tensor_of("norm", np.linspace(0.5, 2, 8))


def test_rms_norm() -> None:
    found = ops_for([0, 1, 2]).rms_norm(X, WEIGHT, 1e-5)
    for row, x in zip(found, X.tolist(), strict=True):
        scale = math.sqrt(sum(value**2 for value in x) / 8 + 1e-5)
        expected = [v / scale * w for v, w in zip(x, np.linspace(0.5, 2, 8), strict=True)]
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_rms_norm_of_groups_is_that_of_each_alone() -> None:
    ops, weight = ops_for([0, 1, 2]), tensor_of("norm", np.array([1.0, 2, 3, 4]))
    grouped = ops.rms_norm(X, weight, 1e-5, group=4)
    np.testing.assert_array_equal(grouped[:, :4], ops.rms_norm(X[:, :4], weight, 1e-5))
    np.testing.assert_array_equal(grouped[:, 4:], ops.rms_norm(X[:, 4:], weight, 1e-5))


@pytest.mark.parametrize("bias", [None, tensor_of("bias", np.arange(8.0))])
def test_layer_norm(bias: Any) -> None:
    found = ops_for([0, 1, 2]).layer_norm(X, WEIGHT, bias, 1e-5)
    x = X.astype(np.float64)
    scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    expected = scaled * np.linspace(0.5, 2, 8) + (0 if bias is None else np.arange(8))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_silu_mul_and_its_far_ends() -> None:
    gate = np.array([[-1000.0, -1, 0, 1, 1000]], np.float32)
    up = np.array([[2.0, 2, 2, 3, 3]], np.float32)
    expected = [[0, -2 / (1 + math.e), 0, 3 / (1 + math.exp(-1)), 3000]]
    np.testing.assert_allclose(ops_for([0]).silu_mul(gate, up), expected, rtol=1e-6)


def test_gelu() -> None:
    x = [-3.0, -0.5, 0.0, 0.5, 3.0]
    expected = [
        0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x
    ]
    np.testing.assert_allclose(ops_for([0]).gelu(np.float32([x])), [expected], rtol=1e-5)


@pytest.mark.parametrize("halves", [False, True])
def test_rope_turns_pairs_of_the_first_values(halves: bool) -> None:
    frequencies = np.array([1.0, 0.1])  # four of the eight values turn
    found = ops_for([0, 1, 50]).rope(X, frequencies, 8, halves, magnitude=2.0)
    pairs = [(0, 2), (1, 3)] if halves else [(0, 1), (2, 3)]
    for row, x, position in zip(found, X, (0, 1, 50), strict=True):
        for (i, j), frequency in zip(pairs, frequencies, strict=True):
            turned = complex(x[i], x[j]) * 2 * np.exp(1j * position * frequency)
            np.testing.assert_allclose([row[i], row[j]], [turned.real, turned.imag], rtol=1e-5)
    np.testing.assert_array_equal(found[:, 4:], X[:, 4:])


def test_rope_treats_every_head_alike() -> None:
    ops, frequencies = ops_for([5, 6, 7]), np.array([1.0, 0.1])
    found = ops.rope(X, frequencies, 4, True)
    np.testing.assert_array_equal(found[:, 4:], ops.rope(X[:, 4:].copy(), frequencies, 4, True))


def test_rope_far_out_keeps_its_precision() -> None:
    x = np.array([[1.0, 0.0]], np.float32)
    found = ops_for([1_000_003]).rope(x, np.array([1.0]), 2, False)
    np.testing.assert_allclose(found, [[math.cos(1_000_003), math.sin(1_000_003)]], rtol=1e-6)


@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q8_0])
def test_embed_and_wrong_token_ids(type: BlockType) -> None:
    values = np.arange(96.0).reshape(3, 32)
    table = tensor_of("token_embd.weight", values, type)
    found = ops_for([0, 1], tokens=np.array([2, 0])).embed(table)
    np.testing.assert_allclose(found, values[[2, 0]], atol=0.4)
    for wrong in (3, -1):
        with pytest.raises(OptionError, match=f"token id {wrong}; the vocabulary has 0 to 2"):
            ops_for([0], tokens=np.array([wrong])).embed(table)


def test_low_rank() -> None:
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, 8), np.float32), random.standard_normal((5, 2), np.float32)
    y = random.standard_normal((3, 5), np.float32)
    found = ops_for([0, 1, 2]).low_rank(X, y, a, b, 0.25)
    np.testing.assert_allclose(found, y + 0.25 * (X @ a.T) @ b.T, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


def test_add_bias_and_select() -> None:
    ops = ops_for([0, 1, 2], rows=np.array([2, 0]))
    np.testing.assert_array_equal(ops.add_bias(X, WEIGHT), X + np.float32(np.linspace(0.5, 2, 8)))
    np.testing.assert_array_equal(ops.select(X), X[[2, 0]])
