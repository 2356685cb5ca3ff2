"""The native backend: records a forward pass once as a program of C++ kernels and replays it.

The arrays that models pass around are numbers of values in that program. See native/program.h.
"""

import numpy as np

from homezoo import _native
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.protocol import CAUSAL, AttentionForm, BatchArrays, CacheArrays, Forward

RANK_STEP = 8  # partial sums of a float product, which the kernel takes one of each at a time


class NativeOps:
    """Records operations into a program; see Ops."""

    def __init__(self, program: _native.Program, cache: CacheArrays) -> None:
        self.program = program
        self.cache = cache

    def embed(self, table: Tensor) -> int:
        return self.program.embed(table.data, table.type, table.width)

    def embed_positions(self, table: Tensor) -> int:
        return self.program.embed_positions(table.data, table.type, table.width)

    def rms_norm(self, x: int, weight: Tensor, eps: float, group: int | None = None) -> int:
        return self.program.rms_norm(x, _vector(weight), eps)

    def layer_norm(self, x: int, weight: Tensor, bias: Tensor | None, eps: float) -> int:
        shift = np.zeros(0, np.float32) if bias is None else _vector(bias)
        return self.program.layer_norm(x, _vector(weight), shift, eps)

    def matmul(self, x: int, weight: Tensor) -> int:
        return self.program.matmul(x, weight.data, weight.type, weight.width)

    def low_rank(
        self,
        x: int,
        y: int,
        a: np.ndarray,
        b: np.ndarray,
        scale: float,
        adapter: int | None = None,
    ) -> int:
        rows = -a.shape[0] % RANK_STEP  # of zeros, which change nothing
        inward = np.ascontiguousarray(np.pad(a, ((0, rows), (0, 0))))  # [r, K]
        turned = np.ascontiguousarray(np.pad(b, ((0, 0), (0, rows))).T)  # [r, N]
        number = -1 if adapter is None else adapter
        return self.program.low_rank(x, y, inward, turned, scale, number)

    def add(self, x: int, y: int) -> int:
        return self.program.add(x, y)

    def add_bias(self, x: int, bias: Tensor) -> int:
        return self.program.add_bias(x, _vector(bias))

    def silu_mul(self, gate: int, up: int) -> int:
        return self.program.silu_mul(gate, up)

    def clamped_swiglu(self, gate: int, up: int, alpha: float, limit: float) -> int:
        return self.program.clamped_swiglu(gate, up, alpha, limit)

    def gelu(self, x: int, exact: bool = False) -> int:
        return self.program.gelu(x, exact)

    def scale(self, x: int, factor: float) -> int:
        return self.program.scale(x, factor)

    def multiply(self, x: int, y: int) -> int:
        return self.program.multiply(x, y)

    def columns(self, x: int, start: int, stop: int) -> int:
        return self.program.columns(x, start, stop)

    def soft_cap(self, x: int, cap: float) -> int:
        return self.program.soft_cap(x, cap)

    def route(self, scores: int, slots: int) -> int:
        return self.program.route(scores, slots)

    def expert_matmul(self, x: int, routing: int, weight: Tensor) -> int:
        experts = weight.shape[0]
        return self.program.expert_matmul(
            x, routing, weight.data, weight.type, weight.width, experts
        )

    def expert_bias(self, x: int, routing: int, bias: Tensor) -> int:
        return self.program.expert_bias(x, routing, _vector(bias), bias.shape[0])

    def expert_sum(self, x: int, routing: int) -> int:
        return self.program.expert_sum(x, routing)

    def rope(
        self,
        x: int,
        frequencies: np.ndarray,
        head_width: int,
        halves: bool,
        magnitude: float = 1.0,
    ) -> int:
        table = np.ascontiguousarray(frequencies, np.float64)
        return self.program.rope(x, table, head_width, halves, magnitude)

    def attention(
        self,
        q: int,
        k: int,
        v: int,
        layer: int,
        scale: float,
        window: int | None = None,
        form: AttentionForm = CAUSAL,
    ) -> int:
        keys, values = self.cache.k[layer], self.cache.v[layer]
        q8 = self.cache.type == "q8_0"
        width = self.cache.head_width
        slopes, sinks = _per_head(form.slopes), _per_head(form.sinks)
        seen = window or 0, form.cap or 0.0, form.causal
        return self.program.attention(q, k, v, keys, values, width, q8, scale, *seen, slopes, sinks)

    def select(self, x: int) -> int:
        return self.program.select(x)


def kernels() -> str:
    """The section of kernels in use: avx2, avx512, amx, neon, ..."""
    return _native.section()


def make_threads(count: int) -> _native.Threads:
    """A pool of so many threads; ValueError for a number that it cannot have."""
    return _native.Threads(count)


class NativePass:
    """A compiled model: a batch gives logits, float32 [R, V], of the rows that it asks for.

    Raises ValueError for a batch that points outside the vocabulary, the page table or the cache.
    """

    def __init__(self, program: _native.Program) -> None:
        self._program = program

    def __call__(self, batch: BatchArrays) -> np.ndarray:
        return np.asarray(
            self._program.run(
                batch.tokens,
                batch.positions,
                batch.sequences,
                batch.blocks,
                batch.rows,
                batch.strengths,
            )
        )

    def buffer_bytes(self, tokens: int, rows: int) -> int:
        """Memory between the layers that a batch of so many tokens and rows needs."""
        return self._program.buffer_bytes(tokens, rows)


def compile_native(model: Forward, cache: CacheArrays, threads: _native.Threads) -> NativePass:
    """The model's pass as native code. Deltas attached later are not seen: compile anew."""
    program = _native.Program(threads)
    program.finish(model.forward(NativeOps(program, cache)))
    return NativePass(program)


def _per_head(values: np.ndarray | None) -> np.ndarray | None:
    """float32 [H], or None."""
    return None if values is None else np.ascontiguousarray(values, np.float32)


def _vector(tensor: Tensor) -> np.ndarray:
    """A norm's weight or a bias as float32 [D]."""
    return dequantize(tensor.type, tensor.data).reshape(-1)
