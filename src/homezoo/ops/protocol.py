"""The operations a model is written in. Three backends implement them: reference, native, autograd.

`Array` is whatever the backend computes with: a float32 NumPy array (reference), a buffer of a
recorded program (native), a torch tensor (autograd). Models pass arrays on and never look inside.
Letters: T tokens of the ragged batch, D model width, K reduction, N rows of a weight,
H query heads, G key-value heads, E width of a head.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from homezoo.formats.tensor import Tensor

Array = Any
BLOCK_POSITIONS = 64  # positions of a cache block: attention walks the cache in these and merges


class Ops(Protocol):
    """What every backend offers. All arrays are float32 and two-dimensional: [T, width]."""

    def embed(self, table: Tensor) -> Array:
        """Rows of `table` [V, D] for the batch's tokens: [T, D]."""

    def rms_norm(self, x: Array, weight: Tensor, eps: float, group: int | None = None) -> Array:
        """x / sqrt(mean(x²) + eps) * weight over each row, or over each `group` values of a row.

        Zhang and Sennrich 2019, equation 4. With `group`, weight is [group], used for each group.
        """

    def layer_norm(self, x: Array, weight: Tensor, bias: Tensor | None, eps: float) -> Array:
        """(x - mean) / sqrt(variance + eps) * weight + bias over each row (Ba et al. 2016)."""

    def matmul(self, x: Array, weight: Tensor) -> Array:
        """x [T, K] times the transpose of `weight` [N, K]: [T, N]."""

    def low_rank(self, x: Array, y: Array, a: np.ndarray, b: np.ndarray, scale: float) -> Array:
        """y + scale * (x aᵀ) bᵀ with a [r, K], b [N, r], float32 (Hu et al. 2021, equation 3)."""

    def add(self, x: Array, y: Array) -> Array:
        """x + y, both [T, D]."""

    def add_bias(self, x: Array, bias: Tensor) -> Array:
        """x + bias on each row; bias is a one-dimensional tensor [D]."""

    def silu_mul(self, gate: Array, up: Array) -> Array:
        """gate * sigmoid(gate) * up (SwiGLU, Shazeer 2020)."""

    def gelu(self, x: Array) -> Array:
        """The tanh form of GELU (Hendrycks and Gimpel 2016)."""

    def rope(
        self,
        x: Array,
        frequencies: np.ndarray,
        head_width: int,
        halves: bool,
        magnitude: float = 1.0,
    ) -> Array:
        """Rotates the first 2·len(frequencies) values of each head by position · frequency.

        Pairs are (2i, 2i+1), or (i, i + len(frequencies)) when `halves`; cos and sin are multiplied
        by `magnitude` (YaRN). Frequencies are float64, in radians per position. Su et al. 2021,
        equation 34.
        """

    def attention(
        self, q: Array, k: Array, v: Array, layer: int, scale: float, window: int | None = None
    ) -> Array:
        """Stores k, v [T, G·E] in the cache, then attends causally with q [T, H·E]: [T, H·E].

        A token sees its own sequence up to itself; with `window`, only the last `window` positions.
        """

    def select(self, x: Array) -> Array:
        """The rows of x that the batch asks for (batch.rows): [R, D]."""


class Forward(Protocol):
    """A model, as a backend sees it."""

    def forward(self, ops: Ops) -> Array:
        """Logits [R, V] of the rows that the batch in `ops` asks for."""


class BatchArrays(Protocol):
    """A ragged batch, as a backend sees it; models/batch.py says what the arrays hold."""

    @property
    def tokens(self) -> np.ndarray:
        """int32 [T]."""

    @property
    def positions(self) -> np.ndarray:
        """int32 [T]."""

    @property
    def sequences(self) -> np.ndarray:
        """int32 [T]."""

    @property
    def blocks(self) -> np.ndarray:
        """int32 [S, B]."""

    @property
    def rows(self) -> np.ndarray:
        """int32 [R]."""


class CacheArrays(Protocol):
    """A key-value cache, as a backend sees it; models/cache.py says what the bytes hold."""

    @property
    def type(self) -> str:
        """f16 or q8_0."""

    @property
    def head_width(self) -> int:
        """E."""

    @property
    def k(self) -> Sequence[np.ndarray]:
        """Keys of each layer: uint8 [blocks, G, BLOCK_POSITIONS, row bytes]."""

    @property
    def v(self) -> Sequence[np.ndarray]:
        """Values of each layer, likewise."""
