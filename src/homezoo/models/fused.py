"""Queries, keys and values from one weight, as BLOOM, GPT-2, GPT-NeoX and Phi-3 have them."""

from homezoo.models.config import ModelConfig
from homezoo.models.linear import Linear
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


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
