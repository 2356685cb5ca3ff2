"""Qwen3 and Qwen3-MoE: LLaMA's layers, each head of q and k normed first (Yang et al. 2025)."""

from collections.abc import Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.experts import Experts
from homezoo.models.linear import Linear
from homezoo.models.llama import FeedForward
from homezoo.models.norm import RmsNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Attention:
    """Grouped-query attention with an RMS norm over each head of q and k."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix = f"blk.{layer}"
        queries = config.heads * config.head_width  # H·E
        keys = config.kv_heads * config.head_width  # G·E
        self.config = config
        self.layer = layer
        self.attn_q = weights.linear(f"{prefix}.attn_q", queries, config.width)
        self.attn_k = weights.linear(f"{prefix}.attn_k", keys, config.width)
        self.attn_v = weights.linear(f"{prefix}.attn_v", keys, config.width)
        self.attn_q_norm = weights.vector(f"{prefix}.attn_q_norm.weight", config.head_width)
        self.attn_k_norm = weights.vector(f"{prefix}.attn_k_norm.weight", config.head_width)
        self.attn_output = weights.linear(f"{prefix}.attn_output", config.width, queries)
        self.frequencies = config.rope.frequencies()  # float64 [P]

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        config = self.config
        q = self._norm_and_rotate(ops, self.attn_q(ops, x), self.attn_q_norm)  # [T, H·E]
        k = self._norm_and_rotate(ops, self.attn_k(ops, x), self.attn_k_norm)  # [T, G·E]
        v = self.attn_v(ops, x)  # [T, G·E]
        mixed = ops.attention(q, k, v, self.layer, config.attention_scale, config.window)
        return self.attn_output(ops, mixed)

    def _norm_and_rotate(self, ops: Ops, x: Array, norm: Tensor) -> Array:
        config, rope = self.config, self.config.rope
        normed = ops.rms_norm(x, norm, config.norm_eps, group=config.head_width)
        return ops.rope(normed, self.frequencies, config.head_width, rope.halves, rope.magnitude())


class Block:
    """One layer: attention, then the feed-forward network, each added to what came in."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.norm_eps = config.norm_eps
        self.attn_norm = weights.vector(f"blk.{layer}.attn_norm.weight", config.width)
        self.attention = Attention(config, weights, layer)
        self.ffn_norm = weights.vector(f"blk.{layer}.ffn_norm.weight", config.width)
        part = Experts if config.experts else FeedForward
        self.feed_forward = part(config, weights, layer)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        x = ops.add(x, self.attention(ops, ops.rms_norm(x, self.attn_norm, self.norm_eps)))
        return ops.add(x, self.feed_forward(ops, ops.rms_norm(x, self.ffn_norm, self.norm_eps)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class Qwen3(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, RmsNorm)
