"""Gemma 3 (text): Gemma 2 with normed heads instead of caps, and a faster rotation where it slides.

Of six layers five see a window only, with their own base of rotation.
"""

from collections.abc import Mapping
from functools import partial

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder
from homezoo.models.gemma2 import Block, score_scale
from homezoo.models.norm import RmsNorm
from homezoo.models.rope import RopeConfig
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
        self.attn_q_norm = RmsNorm(config, weights, f"{prefix}.attn_q_norm", config.head_width)
        self.attn_k_norm = RmsNorm(config, weights, f"{prefix}.attn_k_norm", config.head_width)
        self.attn_output = weights.linear(f"{prefix}.attn_output", config.width, queries)
        self.scale = score_scale(config)
        local = RopeConfig(config.rope.dimensions, config.local_base, config.rope.halves)
        slides = (layer + 1) % config.kind.full_every != 0
        self.rope = local if slides else config.rope
        self.frequencies = self.rope.frequencies()  # float64 [P]

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        q = self._norm_and_rotate(ops, self.attn_q(ops, x), self.attn_q_norm)  # [T, H·E]
        k = self._norm_and_rotate(ops, self.attn_k(ops, x), self.attn_k_norm)  # [T, G·E]
        v = self.attn_v(ops, x)  # [T, G·E]
        window = self.config.window_of(self.layer)
        mixed = ops.attention(q, k, v, self.layer, self.scale, window)
        return self.attn_output(ops, mixed)

    def _norm_and_rotate(self, ops: Ops, x: Array, norm: RmsNorm) -> Array:
        rope, width = self.rope, self.config.head_width
        return ops.rope(norm(ops, x), self.frequencies, width, rope.halves, rope.magnitude())


class Gemma3(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, partial(Block, attention=Attention), RmsNorm)

    def stem(self, ops: Ops) -> Array:
        """The embedding times sqrt(D): [T, D]."""
        return ops.scale(ops.embed(self.token_embd), self.config.width**0.5)
