"""The operations a model is written in. Three backends implement them: reference, native, autograd.

`Array` is whatever the backend computes with: a float32 NumPy array (reference), a buffer of a
recorded program (native), a torch tensor (autograd). Models pass arrays on and never look inside.
Letters: T tokens of the ragged batch, D model width, K reduction, N rows of a weight,
H query heads, G key-value heads, E width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from homezoo.formats.tensor import Tensor

Array = Any
BLOCK_POSITIONS = 64  # positions of a cache block: attention walks the cache in these and merges


@dataclass(frozen=True, eq=False)
class AttentionForm:
    """What some models do to the scores, and who is seen."""

    slopes: np.ndarray | None = (
        None  # float32 [H]: ALiBi, what each position of distance takes away
    )
    sinks: np.ndarray | None = None  # float32 [H]: one more score in the softmax, without a value
    cap: float | None = None  # scores become cap * tanh(score / cap)
    causal: bool = True  # else a token sees its sequence up to its last token in the batch


CAUSAL = AttentionForm()


class Ops(Protocol):
    """What every backend offers. All arrays are float32 and two-dimensional: [T, width]."""

    def embed(self, table: Tensor) -> Array:
        """Rows of `table` [V, D] for the batch's tokens: [T, D]."""

    def embed_positions(self, table: Tensor) -> Array:
        """Rows of `table` [P, D] for the batch's positions, which must be below P: [T, D]."""

    def rms_norm(self, x: Array, weight: Tensor, eps: float, group: int | None = None) -> Array:
        """x / sqrt(mean(x²) + eps) * weight over each row, or over each `group` values of a row.

        Zhang and Sennrich 2019, equation 4. With `group`, weight is [group], used for each group.
        """

    def layer_norm(self, x: Array, weight: Tensor, bias: Tensor | None, eps: float) -> Array:
        """(x - mean) / sqrt(variance + eps) * weight + bias over each row (Ba et al. 2016)."""

    def matmul(self, x: Array, weight: Tensor) -> Array:
        """x [T, K] times the transpose of `weight` [N, K]: [T, N]."""

    def low_rank(
        self, x: Array, y: Array, a: Array, b: Array, scale: float, adapter: int | None = None
    ) -> Array:
        """y + scale * (x aᵀ) bᵀ with a [r, K], b [N, r], float32 (Hu et al. 2021, equation 3).

        With the number of an adapter, scale is multiplied by its strength for each token's sequence
        (batch.strengths); where that is 0, y comes out as it is, bit for bit.
        """

    def add(self, x: Array, y: Array) -> Array:
        """x + y, both [T, D]."""

    def add_bias(self, x: Array, bias: Tensor) -> Array:
        """x + bias on each row; bias is a one-dimensional tensor [D]."""

    def silu_mul(self, gate: Array, up: Array) -> Array:
        """gate * sigmoid(gate) * up (SwiGLU, Shazeer 2020)."""

    def clamped_swiglu(self, gate: Array, up: Array, alpha: float, limit: float) -> Array:
        """(up + 1) * gate * sigmoid(alpha * gate) of gpt-oss.

        Before that, gate is held at `limit` or below, and up between -limit and limit.
        """

    def gelu(self, x: Array, exact: bool = False) -> Array:
        """GELU, x times the normal distribution's function of x (Hendrycks and Gimpel 2016).

        In the paper's tanh form, or with erf when `exact`.
        """

    def scale(self, x: Array, factor: float) -> Array:
        """x * factor."""

    def multiply(self, x: Array, y: Array) -> Array:
        """x * y, value by value, both [T, D]."""

    def columns(self, x: Array, start: int, stop: int) -> Array:
        """Values start to stop - 1 of each row: [T, stop - start]."""

    def soft_cap(self, x: Array, cap: float) -> Array:
        """cap * tanh(x / cap) (Gemma 2)."""

    def route(self, scores: Array, slots: int) -> Array:
        """The `slots` highest of each row's scores [T, experts] and their softmax: [T, 2 * slots].

        First the experts' numbers, highest score first and equal ones in order, then the weights.
        """

    def expert_matmul(self, x: Array, routing: Array, weight: Tensor) -> Array:
        """Each slot's product with its expert's part of `weight` [experts, N, K]: [T, slots * N].

        x is [T, K], the same for all slots, or [T, slots * K]. Parts of experts that no token of
        the batch has chosen are not read.
        """

    def expert_bias(self, x: Array, routing: Array, bias: Tensor) -> Array:
        """x [T, slots * N] + each slot's row of `bias` [experts, N]."""

    def expert_sum(self, x: Array, routing: Array) -> Array:
        """The slots' parts of x [T, slots * N], each times its weight, added up: [T, N]."""

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
        self,
        q: Array,
        k: Array,
        v: Array,
        layer: int,
        scale: float,
        window: int | None = None,
        form: AttentionForm = CAUSAL,
    ) -> Array:
        """Stores k, v [T, G·E] in the cache, then attends with q [T, H·E]: [T, H·E].

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

    @property
    def strengths(self) -> np.ndarray:
        """float32 [S, M]."""


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
