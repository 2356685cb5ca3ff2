"""BERT, the encoder behind MiniLM and BGE embeddings: tokens see each other, norms come last."""

from collections.abc import Mapping

from homezoo.errors import UnsupportedError
from homezoo.formats.tensor import Tensor
from homezoo.models.bloom import FeedForward
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import linears_of
from homezoo.models.linear import Linear
from homezoo.models.norm import LayerNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, AttentionForm, Ops

TOKEN_TYPES = 2  # first and second sentence; a text alone is all of the first type


class Attention:
    """Multi-head attention to the whole text; the batch must hold all of it."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix, width = f"blk.{layer}", config.heads * config.head_width
        self.config = config
        self.layer = layer
        self.attn_q = weights.linear(f"{prefix}.attn_q", width, config.width)
        self.attn_k = weights.linear(f"{prefix}.attn_k", width, config.width)
        self.attn_v = weights.linear(f"{prefix}.attn_v", width, config.width)
        self.attn_output = weights.linear(f"{prefix}.attn_output", config.width, width)
        self.form = AttentionForm(causal=False)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        q, k, v = self.attn_q(ops, x), self.attn_k(ops, x), self.attn_v(ops, x)
        scale = self.config.attention_scale
        return self.attn_output(ops, ops.attention(q, k, v, self.layer, scale, form=self.form))


class Block:
    """One layer: each part is added to what came in, then normed."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.attention = Attention(config, weights, layer)
        self.attn_output_norm = LayerNorm(config, weights, f"blk.{layer}.attn_output_norm")
        self.feed_forward = FeedForward(config, weights, layer, exact=True)
        self.layer_output_norm = LayerNorm(config, weights, f"blk.{layer}.layer_output_norm")

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        x = self.attn_output_norm(ops, ops.add(x, self.attention(ops, x)))
        return self.layer_output_norm(ops, ops.add(x, self.feed_forward(ops, x)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.feed_forward)


class Bert:
    """The whole encoder: states of tokens, and no logits."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        weights = Weights(tensors)
        self.config = config
        self.token_embd = weights.matrix("token_embd.weight", config.vocab_size, config.width)
        self.position_embd = weights.matrix(
            "position_embd.weight", config.context_length, config.width
        )
        types = weights.matrix("token_types.weight", TOKEN_TYPES, config.width)
        self.first_type = Tensor(types.name, types.type, (config.width,), types.data[:1])
        self.token_embd_norm = LayerNorm(config, weights, "token_embd_norm")
        self.blocks = [Block(config, weights, layer) for layer in range(config.layers)]
        weights.check_all_taken(config.architecture)

    def hidden(self, ops: Ops) -> Array:
        """The last layer's states of the batch's tokens: [T, D]."""
        x = ops.add(ops.embed(self.token_embd), ops.embed_positions(self.position_embd))
        x = self.token_embd_norm(ops, ops.add_bias(x, self.first_type))
        for block in self.blocks:
            x = block(ops, x)
        return x

    def logits(self, ops: Ops, states: Array) -> Array:
        """Raises UnsupportedError."""
        raise UnsupportedError(
            f"{self.config.architecture} is an encoder and writes no text; use it for embeddings"
        )

    def forward(self, ops: Ops) -> Array:
        """Raises UnsupportedError, as logits."""
        return self.logits(ops, ops.select(self.hidden(ops)))

    def linears(self) -> dict[str, Linear]:
        """Every weight that deltas can be attached to, by GGUF name without `.weight`."""
        return {
            f"blk.{layer}.{name}": linear
            for layer, block in enumerate(self.blocks)
            for name, linear in block.linears().items()
        }
