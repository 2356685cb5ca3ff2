"""GPT-J: one norm for attention and feed-forward side by side; neighbours of each head rotate."""

from collections.abc import Mapping

from homezoo.formats.tensor import Tensor
from homezoo.models.bloom import FeedForward
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.linear import Linear
from homezoo.models.llama import Attention
from homezoo.models.norm import LayerNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Block:
    """One layer: both parts read the same normed states, and both are added."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.attn_norm = LayerNorm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = Attention(config, weights, layer)
        self.feed_forward = FeedForward(config, weights, layer)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        normed = self.attn_norm(ops, x)
        parts = ops.add(self.attention(ops, normed), self.feed_forward(ops, normed))
        return ops.add(x, parts)

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class GPTJ(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, LayerNorm)
