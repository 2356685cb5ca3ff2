"""GPT-2: learned positions, layer norms before each part, one weight for q, k and v."""

from collections.abc import Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.bloom import FeedForward
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.fused import FusedAttention
from homezoo.models.linear import Linear
from homezoo.models.norm import LayerNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Block:
    """One layer: attention, then the feed-forward network, each added to what came in."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.attn_norm = LayerNorm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = FusedAttention(config, weights, layer)
        self.ffn_norm = LayerNorm(config, weights, f"blk.{layer}.ffn_norm")
        self.feed_forward = FeedForward(config, weights, layer)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        x = ops.add(x, self.attention(ops, self.attn_norm(ops, x)))
        return ops.add(x, self.feed_forward(ops, self.ffn_norm(ops, x)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class GPT2(Decoder):
    """The whole model. It knows the positions below context_length and no others."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, LayerNorm)

    def take(self, weights: Weights) -> None:
        """The table of positions."""
        config = self.config
        self.position_embd = weights.matrix(
            "position_embd.weight", config.context_length, config.width
        )

    def stem(self, ops: Ops) -> Array:
        """[T, D]."""
        return ops.add(ops.embed(self.token_embd), ops.embed_positions(self.position_embd))
