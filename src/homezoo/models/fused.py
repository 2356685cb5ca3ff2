"""Queries, keys and values from one weight, as BLOOM, GPT-2, GPT-NeoX and Phi-3 have them."""

from homezoo.models.config import ModelConfig
from homezoo.models.linear import Linear
from homezoo.models.weights import Weights
from homezoo.ops.protocol import CAUSAL, Array, AttentionForm, Ops


class FusedAttention:
    """Grouped-query attention from one weight; `rotates` turns the first values of each head."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        layer: int,
        form: AttentionForm = CAUSAL,
        rotates: bool = False,
    ) -> None:
        self.config = config
        self.layer = layer
        self.form = form
        self.attn_qkv = fused_linear(config, weights, layer)
        self.attn_output = weights.linear(
            f"blk.{layer}.attn_output", config.width, config.heads * config.head_width
        )
        self.frequencies = config.rope.frequencies() if rotates else None  # float64 [P]

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        config = self.config
        q, k, v = split(ops, config, self.attn_qkv(ops, x))
        q, k = self._rotate(ops, q), self._rotate(ops, k)
        scale, window = config.attention_scale, config.window
        return self.attn_output(ops, ops.attention(q, k, v, self.layer, scale, window, self.form))

    def _rotate(self, ops: Ops, x: Array) -> Array:
        if self.frequencies is None:
            return x
        rope = self.config.rope
        return ops.rope(x, self.frequencies, self.config.head_width, rope.halves, rope.magnitude())


def fused_linear(config: ModelConfig, weights: Weights, layer: int) -> Linear:
    """The layer's attn_qkv: rows of all queries, then all keys, then all values."""
    rows = (config.heads + 2 * config.kv_heads) * config.head_width  # (H + 2G)·E
    return weights.linear(f"blk.{layer}.attn_qkv", rows, config.width)


def split(ops: Ops, config: ModelConfig, fused: Array) -> tuple[Array, Array, Array]:
    """Its product [T, (H + 2G)·E] to q [T, H·E], k and v [T, G·E]."""
    queries = config.heads * config.head_width
    keys = queries + config.kv_heads * config.head_width
    values = keys + config.kv_heads * config.head_width
    return (
        ops.columns(fused, 0, queries),
        ops.columns(fused, queries, keys),
        ops.columns(fused, keys, values),
    )
