"""GPT-NeoX and Pythia: part of each head rotates; feed-forward beside attention, or after it."""

from collections.abc import Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.bloom import FeedForward
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.fused import fused_linear, split
from homezoo.models.linear import Linear
from homezoo.models.norm import LayerNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Attention:
    """Attention from one weight, rotating the first values of each head."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.config = config
        self.layer = layer
        self.attn_qkv = fused_linear(config, weights, layer)
        self.attn_output = weights.linear(
            f"blk.{layer}.attn_output", config.width, config.heads * config.head_width
        )
        self.frequencies = config.rope.frequencies()  # float64 [P]

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        config = self.config
        q, k, v = split(ops, config, self.attn_qkv(ops, x))
        q, k = self._rotate(ops, q), self._rotate(ops, k)
        mixed = ops.attention(q, k, v, self.layer, config.attention_scale, config.window)
        return self.attn_output(ops, mixed)

    def _rotate(self, ops: Ops, x: Array) -> Array:
        rope = self.config.rope
        return ops.rope(x, self.frequencies, self.config.head_width, rope.halves, rope.magnitude())


class Block:
    """One layer; with `config.parallel` both parts read what came in, each with its norm."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.parallel = config.parallel
        self.attn_norm = LayerNorm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = Attention(config, weights, layer)
        self.ffn_norm = LayerNorm(config, weights, f"blk.{layer}.ffn_norm")
        self.feed_forward = FeedForward(config, weights, layer, exact=True)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        attended = ops.add(x, self.attention(ops, self.attn_norm(ops, x)))
        read = x if self.parallel else attended
        return ops.add(attended, self.feed_forward(ops, self.ffn_norm(ops, read)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class GPTNeoX(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, LayerNorm)
