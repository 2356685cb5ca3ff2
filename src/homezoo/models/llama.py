"""LLaMA 1 to 3, TinyLlama, Mistral with its sliding window, Mixtral, Qwen2 and SmolLM3.

They differ in sizes, in which values turn together, in biases, in the window and in experts; of
four layers of SmolLM3 the last does not rotate. Files and models/kinds.py say it.
"""

from collections.abc import Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.experts import Experts
from homezoo.models.linear import Linear
from homezoo.models.norm import RmsNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Attention:
    """Grouped-query attention over the cache (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix = f"blk.{layer}"
        queries = config.heads * config.head_width  # H·E
        keys = config.kv_heads * config.head_width  # G·E
        self.config = config
        self.layer = layer
        self.attn_q = weights.linear(f"{prefix}.attn_q", queries, config.width)
        self.attn_k = weights.linear(f"{prefix}.attn_k", keys, config.width)
        self.attn_v = weights.linear(f"{prefix}.attn_v", keys, config.width)
        self.attn_output = weights.linear(f"{prefix}.attn_output", config.width, queries)
        self.frequencies = config.rope.frequencies()  # float64 [P]
        every = config.kind.unrotated_every
        self.rotates = not every or (layer + 1) % every != 0

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        config = self.config
        q = self._rotate(ops, self.attn_q(ops, x))  # [T, H·E]
        k = self._rotate(ops, self.attn_k(ops, x))  # [T, G·E]
        v = self.attn_v(ops, x)  # [T, G·E]
        mixed = ops.attention(q, k, v, self.layer, config.attention_scale, config.window)
        return self.attn_output(ops, mixed)

    def _rotate(self, ops: Ops, x: Array) -> Array:
        if not self.rotates:
            return x
        rope = self.config.rope
        return ops.rope(x, self.frequencies, self.config.head_width, rope.halves, rope.magnitude())


class FeedForward:
    """The gated feed-forward network (Shazeer 2020, SwiGLU)."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix = f"blk.{layer}"
        self.ffn_gate = weights.linear(f"{prefix}.ffn_gate", config.feed_forward, config.width)
        self.ffn_up = weights.linear(f"{prefix}.ffn_up", config.feed_forward, config.width)
        self.ffn_down = weights.linear(f"{prefix}.ffn_down", config.width, config.feed_forward)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        return self.ffn_down(ops, ops.silu_mul(self.ffn_gate(ops, x), self.ffn_up(ops, x)))


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


class Llama(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, RmsNorm)
