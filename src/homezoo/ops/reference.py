"""The reference backend: what every operation means, in NumPy, short and obvious rather than fast.

Sums run in float64 and are rounded to float32 once; with `exact=False` products with weights are
the kernels' own (reference_matmul). A token's result never depends on the rest of its batch.
"""

from collections.abc import Callable

import numpy as np

from homezoo.errors import OptionError
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.protocol import BatchArrays, CacheArrays, Forward
from homezoo.ops.reference_attention import attend, store
from homezoo.ops.reference_matmul import matmul_canonical, matmul_exact, multiply


class ReferenceOps:
    """The operations for one batch and the cache that its sequences live in; see Ops."""

    def __init__(self, batch: BatchArrays, cache: CacheArrays, exact: bool) -> None:
        self.batch = batch
        self.cache = cache
        self.exact = exact

    def embed(self, table: Tensor) -> np.ndarray:
        tokens = self.batch.tokens
        wrong = tokens[(tokens < 0) | (tokens >= table.rows)]
        if len(wrong):
            raise OptionError(f"token id {wrong[0]}; the vocabulary has 0 to {table.rows - 1}")
        return dequantize(table.type, table.data[tokens])

    def rms_norm(
        self, x: np.ndarray, weight: Tensor, eps: float, group: int | None = None
    ) -> np.ndarray:
        groups = x.astype(np.float64).reshape(len(x), -1, group or x.shape[1])
        scale = 1.0 / np.sqrt(np.mean(groups**2, axis=2, keepdims=True) + eps)
        return _rounded(groups * scale * _floats(weight)).reshape(x.shape)

    def layer_norm(
        self, x: np.ndarray, weight: Tensor, bias: Tensor | None, eps: float
    ) -> np.ndarray:
        centred = x - np.mean(x, axis=1, keepdims=True, dtype=np.float64)
        variance = np.mean(centred**2, axis=1, keepdims=True)
        scaled = centred / np.sqrt(variance + eps) * _floats(weight)
        return _rounded(scaled if bias is None else scaled + _floats(bias))

    def matmul(self, x: np.ndarray, weight: Tensor) -> np.ndarray:
        return matmul_exact(x, weight) if self.exact else matmul_canonical(x, weight)

    def low_rank(
        self, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, scale: float
    ) -> np.ndarray:
        change: np.ndarray = np.float32(scale) * multiply(multiply(x, a), b)
        return self.add(y, change)

    def add(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total: np.ndarray = x + y
        return total

    def add_bias(self, x: np.ndarray, bias: Tensor) -> np.ndarray:
        return self.add(x, dequantize(bias.type, bias.data).reshape(-1))

    def silu_mul(self, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
        wide = gate.astype(np.float64)
        with np.errstate(over="ignore"):  # e^1000 is infinite, and then the result rightly 0
            return _rounded(wide / (1.0 + np.exp(-wide)) * up)

    def gelu(self, x: np.ndarray) -> np.ndarray:
        wide = x.astype(np.float64)
        inner = np.sqrt(2.0 / np.pi) * (
            wide + 0.044715 * wide**3
        )  # constant of the paper's tanh form
        return _rounded(0.5 * wide * (1.0 + np.tanh(inner)))

    def rope(
        self,
        x: np.ndarray,
        frequencies: np.ndarray,
        head_width: int,
        halves: bool,
        magnitude: float = 1.0,
    ) -> np.ndarray:
        pairs = len(frequencies)
        angles = self.batch.positions[:, None, None] * frequencies  # [T, 1, P]
        cos, sin = np.cos(angles) * magnitude, np.sin(angles) * magnitude
        out = x.reshape(len(x), -1, head_width).copy()  # [T, heads, E]
        first = slice(0, pairs) if halves else slice(0, 2 * pairs, 2)
        second = slice(pairs, 2 * pairs) if halves else slice(1, 2 * pairs, 2)
        one, two = out[..., first].copy(), out[..., second].copy()  # [T, heads, P]
        out[..., first] = one * cos - two * sin
        out[..., second] = one * sin + two * cos
        return out.reshape(x.shape)

    def attention(
        self,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        layer: int,
        scale: float,
        window: int | None = None,
    ) -> np.ndarray:
        store(k, self.cache.k[layer], self.batch, self.cache.type)
        store(v, self.cache.v[layer], self.batch, self.cache.type)
        return attend(q, self.batch, self.cache, layer, scale, window)

    def select(self, x: np.ndarray) -> np.ndarray:
        rows: np.ndarray = x[self.batch.rows]
        return rows


def compile_reference(
    model: Forward, cache: CacheArrays, exact: bool
) -> Callable[[BatchArrays], np.ndarray]:
    """A callable from a batch to logits, float32 [R, V], of the rows that the batch asks for.

    `exact` multiplies dequantised weights by unrounded activations; otherwise activations are
    rounded as the kernels do. The cache keeps its own rounding in both.
    """

    def run(batch: BatchArrays) -> np.ndarray:
        return np.asarray(model.forward(ReferenceOps(batch, cache, exact)))

    return run


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _floats(vector: Tensor) -> np.ndarray:
    """A norm's weight or bias, float64 [D]."""
    return dequantize(vector.type, vector.data).reshape(-1).astype(np.float64)
