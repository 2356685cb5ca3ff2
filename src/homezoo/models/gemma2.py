"""Gemma 2: norms before and after each part, capped scores and logits, windows in half the layers.

Files hold the norms' weights with Gemma's + 1 already added.
"""

from collections.abc import Callable, Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, Part, linears_of
from homezoo.models.linear import Linear
from homezoo.models.norm import RmsNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, AttentionForm, Ops

# Layers of the sizes (27B of each generation) whose scores are scaled by width / heads instead of
# the width of a head; files do not say it.
SCALED_BY_WIDTH = {"gemma2": 46, "gemma3": 62}


def score_scale(config: ModelConfig) -> float:
    """What scores are multiplied by."""
    if config.scale is None and config.layers == SCALED_BY_WIDTH[config.architecture]:
        return float((config.width / config.heads) ** -0.5)
    return config.attention_scale


class Attention:
    """Grouped-query attention with capped scores and, in some layers, a window."""

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
        self.scale = score_scale(config)
        self.form = AttentionForm(cap=config.attention_cap)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        q = self._rotate(ops, self.attn_q(ops, x))  # [T, H·E]
        k = self._rotate(ops, self.attn_k(ops, x))  # [T, G·E]
        v = self.attn_v(ops, x)  # [T, G·E]
        window = self.config.window_of(self.layer)
        mixed = ops.attention(q, k, v, self.layer, self.scale, window, self.form)
        return self.attn_output(ops, mixed)

    def _rotate(self, ops: Ops, x: Array) -> Array:
        rope = self.config.rope
        return ops.rope(x, self.frequencies, self.config.head_width, rope.halves, rope.magnitude())


class FeedForward:
    """The gated feed-forward network with GELU (Shazeer 2020, GEGLU)."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix = f"blk.{layer}"
        self.ffn_gate = weights.linear(f"{prefix}.ffn_gate", config.feed_forward, config.width)
        self.ffn_up = weights.linear(f"{prefix}.ffn_up", config.feed_forward, config.width)
        self.ffn_down = weights.linear(f"{prefix}.ffn_down", config.width, config.feed_forward)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        gate = ops.gelu(self.ffn_gate(ops, x))
        return self.ffn_down(ops, ops.multiply(gate, self.ffn_up(ops, x)))


class Block:
    """One layer: each part is normed before and after, then added to what came in."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        layer: int,
        attention: Callable[[ModelConfig, Weights, int], Part] = Attention,
    ) -> None:
        prefix = f"blk.{layer}"
        self.attn_norm = RmsNorm(config, weights, f"{prefix}.attn_norm")
        self.attention = attention(config, weights, layer)
        self.post_attention_norm = RmsNorm(config, weights, f"{prefix}.post_attention_norm")
        self.ffn_norm = RmsNorm(config, weights, f"{prefix}.ffn_norm")
        self.feed_forward = FeedForward(config, weights, layer)
        self.post_ffw_norm = RmsNorm(config, weights, f"{prefix}.post_ffw_norm")

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        attended = self.attention(ops, self.attn_norm(ops, x))
        x = ops.add(x, self.post_attention_norm(ops, attended))
        changed = self.feed_forward(ops, self.ffn_norm(ops, x))
        return ops.add(x, self.post_ffw_norm(ops, changed))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class Gemma2(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, RmsNorm)

    def stem(self, ops: Ops) -> Array:
        """The embedding times sqrt(D): [T, D]."""
        return ops.scale(ops.embed(self.token_embd), self.config.width**0.5)
