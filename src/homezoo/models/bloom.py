"""BLOOM: a norm after the embedding, and positions as slopes of the scores (ALiBi)."""

import math
from collections.abc import Mapping

import numpy as np

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.fused import FusedAttention
from homezoo.models.linear import Linear
from homezoo.models.norm import LayerNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, AttentionForm, Ops

STEEPEST = 8.0  # the last of 2^n heads has the slope 2^-8 (Press et al. 2022, section 3)


def slopes(heads: int) -> np.ndarray:
    """ALiBi's slope of each head, float32 [H].

    2^(-8/n), its square, and so on for n heads. When n is no power of two, that of the next lower
    power, then every second slope of twice that power, as the authors' code does.
    """
    whole = 2 ** math.floor(math.log2(heads))
    first = [2 ** (-STEEPEST * (i + 1) / whole) for i in range(whole)]
    between = [2 ** (-STEEPEST * (2 * i + 1) / (2 * whole)) for i in range(heads - whole)]
    return np.array(first + between, np.float32)


class FeedForward:
    """Two weights with GELU between them; `exact` takes erf instead of the tanh form."""

    def __init__(
        self, config: ModelConfig, weights: Weights, layer: int, exact: bool = False
    ) -> None:
        self.ffn_up = weights.linear(f"blk.{layer}.ffn_up", config.feed_forward, config.width)
        self.ffn_down = weights.linear(f"blk.{layer}.ffn_down", config.width, config.feed_forward)
        self.exact = exact

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        return self.ffn_down(ops, ops.gelu(self.ffn_up(ops, x), self.exact))


class Block:
    """One layer: attention, then the feed-forward network, each added to what came in."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.attn_norm = LayerNorm(config, weights, f"blk.{layer}.attn_norm")
        form = AttentionForm(slopes=slopes(config.heads))
        self.attention = FusedAttention(config, weights, layer, form)
        self.ffn_norm = LayerNorm(config, weights, f"blk.{layer}.ffn_norm")
        self.feed_forward = FeedForward(config, weights, layer)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        x = ops.add(x, self.attention(ops, self.attn_norm(ops, x)))
        return ops.add(x, self.feed_forward(ops, self.ffn_norm(ops, x)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class Bloom(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, LayerNorm)

    def take(self, weights: Weights) -> None:
        """The norm after the embedding."""
        self.token_embd_norm = LayerNorm(self.config, weights, "token_embd_norm")

    def stem(self, ops: Ops) -> Array:
        """[T, D]."""
        return self.token_embd_norm(ops, ops.embed(self.token_embd))
