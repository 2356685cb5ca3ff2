"""The reference backend: what every operation means, in NumPy, short and obvious rather than fast.

Sums run in float64 and are rounded to float32 once; with `exact=False` products with weights are
the kernels' own (reference_matmul). A token's result never depends on the rest of its batch.
"""

import math
from collections.abc import Callable

import numpy as np

from homezoo.errors import OptionError
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.protocol import CAUSAL, AttentionForm, BatchArrays, CacheArrays, Forward
from homezoo.ops.reference_attention import attend, store
from homezoo.ops.reference_matmul import matmul_canonical, matmul_exact, multiply


class ReferenceOps:
    """The operations for one batch and the cache that its sequences live in; see Ops."""

    def __init__(self, batch: BatchArrays, cache: CacheArrays, exact: bool) -> None:
        self.batch = batch
        self.cache = cache
        self.exact = exact
        self._selected = False  # whether what is computed with has the batch's rows for tokens

    def embed(self, table: Tensor) -> np.ndarray:
        tokens = self.batch.tokens
        wrong = tokens[(tokens < 0) | (tokens >= table.rows)]
        if len(wrong):
            raise OptionError(f"token id {wrong[0]}; the vocabulary has 0 to {table.rows - 1}")
        return dequantize(table.type, table.data[tokens])

    def embed_positions(self, table: Tensor) -> np.ndarray:
        last = int(self.batch.positions.max(initial=0))
        if last >= table.rows:
            raise OptionError(f"position {last}; the model has learned {table.rows}")
        return dequantize(table.type, table.data[self.batch.positions])

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
        self,
        x: np.ndarray,
        y: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        scale: float,
        adapter: int | None = None,
    ) -> np.ndarray:
        if adapter is None:
            change: np.ndarray = np.float32(scale) * multiply(multiply(x, a), b)
            return self.add(y, change)
        table = self.batch.strengths  # [S, M]
        if adapter >= table.shape[1]:
            return y
        of_tokens = table[self.batch.sequences, adapter]  # [T]
        strength = of_tokens[self.batch.rows] if self._selected else of_tokens
        used = strength != 0
        factors = (np.float32(scale) * strength[used])[:, None]
        out = y.copy()
        out[used] = self.add(y[used], factors * multiply(multiply(x[used], a), b))
        return out

    def add(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total: np.ndarray = x + y
        return total

    def add_bias(self, x: np.ndarray, bias: Tensor) -> np.ndarray:
        return self.add(x, dequantize(bias.type, bias.data).reshape(-1))

    def silu_mul(self, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
        wide = gate.astype(np.float64)
        with np.errstate(over="ignore"):  # e^1000 is infinite, and then the result rightly 0
            return _rounded(wide / (1.0 + np.exp(-wide)) * up)

    def clamped_swiglu(
        self, gate: np.ndarray, up: np.ndarray, alpha: float, limit: float
    ) -> np.ndarray:
        wide = np.minimum(gate.astype(np.float64), limit)
        with np.errstate(over="ignore"):
            swish = wide / (1.0 + np.exp(-alpha * wide))
        return _rounded(swish * (np.clip(up.astype(np.float64), -limit, limit) + 1.0))

    def gelu(self, x: np.ndarray, exact: bool = False) -> np.ndarray:
        wide = x.astype(np.float64)
        if exact:
            return _rounded(0.5 * wide * (1.0 + _erf(wide / np.sqrt(2.0))))
        inner = np.sqrt(2.0 / np.pi) * (
            wide + 0.044715 * wide**3
        )  # constant of the paper's tanh form
        return _rounded(0.5 * wide * (1.0 + np.tanh(inner)))

    def scale(self, x: np.ndarray, factor: float) -> np.ndarray:
        scaled: np.ndarray = x * np.float32(factor)
        return scaled

    def multiply(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        product: np.ndarray = x * y
        return product

    def columns(self, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        return np.ascontiguousarray(x[:, start:stop])

    def soft_cap(self, x: np.ndarray, cap: float) -> np.ndarray:
        return _rounded(cap * np.tanh(x.astype(np.float64) / cap))

    def route(self, scores: np.ndarray, slots: int) -> np.ndarray:
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :slots]  # [T, slots]
        kept = np.take_along_axis(scores, chosen, 1).astype(np.float64)
        weights = np.exp(kept - kept[:, :1])
        weights = weights / weights.sum(axis=1, keepdims=True)
        return np.concatenate([chosen, weights], axis=1).astype(np.float32)

    def expert_matmul(self, x: np.ndarray, routing: np.ndarray, weight: Tensor) -> np.ndarray:
        chosen = _chosen(routing)  # [T, slots]
        inputs = x.reshape(len(x), -1, weight.width)  # [T, 1 or slots, K]
        inputs = np.broadcast_to(inputs, (*chosen.shape, weight.width))
        rows = weight.shape[1]
        y = np.empty((*chosen.shape, rows), np.float32)
        for expert in np.unique(chosen):
            data = weight.data[expert * rows : (expert + 1) * rows]
            part = Tensor(weight.name, weight.type, weight.shape[1:], data)
            y[chosen == expert] = self.matmul(inputs[chosen == expert], part)
        return y.reshape(len(x), -1)

    def expert_bias(self, x: np.ndarray, routing: np.ndarray, bias: Tensor) -> np.ndarray:
        added = dequantize(bias.type, bias.data)[_chosen(routing)]  # [T, slots, N]
        return self.add(x, added.reshape(x.shape))

    def expert_sum(self, x: np.ndarray, routing: np.ndarray) -> np.ndarray:
        slots = routing.shape[1] // 2
        weights = routing[:, slots:, None].astype(np.float64)  # [T, slots, 1]
        return _rounded((x.reshape(len(x), slots, -1) * weights).sum(axis=1))

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
        form: AttentionForm = CAUSAL,
    ) -> np.ndarray:
        store(k, self.cache.k[layer], self.batch, self.cache.type)
        store(v, self.cache.v[layer], self.batch, self.cache.type)
        return attend(q, self.batch, self.cache, layer, scale, window, form)

    def select(self, x: np.ndarray) -> np.ndarray:
        rows: np.ndarray = x[self.batch.rows]
        self._selected = True
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


def _chosen(routing: np.ndarray) -> np.ndarray:
    """The experts' numbers, int [T, slots]."""
    return routing[:, : routing.shape[1] // 2].astype(np.int64)


def _erf(values: np.ndarray) -> np.ndarray:
    """The error function, which NumPy has not, by the standard library's."""
    found = np.fromiter(map(math.erf, values.reshape(-1)), np.float64, values.size)
    return found.reshape(values.shape)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _floats(vector: Tensor) -> np.ndarray:
    """A norm's weight or bias, float64 [D]."""
    return dequantize(vector.type, vector.data).reshape(-1).astype(np.float64)
