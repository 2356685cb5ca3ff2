"""GPT-NeoX and Pythia: part of each head rotates; feed-forward beside attention, or after it."""

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
    """One layer; with `config.parallel` both parts read what came in, each with its norm."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.parallel = config.parallel
        self.attn_norm = LayerNorm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = FusedAttention(config, weights, layer, rotates=True)
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
