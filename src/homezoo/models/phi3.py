"""Phi-3 and Phi-4: LLaMA's layers with q, k, v in one weight, and gate and up in another."""

from collections.abc import Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.fused import FusedAttention
from homezoo.models.linear import Linear
from homezoo.models.norm import RmsNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class FeedForward:
    """SwiGLU; ffn_up holds the gate's rows, then those of up."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.width = config.feed_forward
        self.ffn_up = weights.linear(f"blk.{layer}.ffn_up", 2 * self.width, config.width)
        self.ffn_down = weights.linear(f"blk.{layer}.ffn_down", config.width, self.width)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        both = self.ffn_up(ops, x)  # [T, 2 F]
        gate = ops.columns(both, 0, self.width)
        return self.ffn_down(ops, ops.silu_mul(gate, ops.columns(both, self.width, 2 * self.width)))


class Block:
    """One layer: attention, then the feed-forward network, each added to what came in."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.attn_norm = RmsNorm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = FusedAttention(config, weights, layer, rotates=True)
        self.ffn_norm = RmsNorm(config, weights, f"blk.{layer}.ffn_norm")
        self.feed_forward = FeedForward(config, weights, layer)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        x = ops.add(x, self.attention(ops, self.attn_norm(ops, x)))
        return ops.add(x, self.feed_forward(ops, self.ffn_norm(ops, x)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class Phi3(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, RmsNorm)
