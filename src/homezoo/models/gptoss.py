"""gpt-oss: experts with biases and a clamped gate, attention sinks, windows in half the layers."""

from collections.abc import Mapping

from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder, linears_of
from homezoo.models.linear import Linear
from homezoo.models.norm import RmsNorm
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, AttentionForm, Ops

# Of the gate, from the authors' code; files do not say them.
ALPHA = 1.702
LIMIT = 7.0


class Attention:
    """Grouped-query attention in which each head may also attend to nothing (its sink)."""

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
        sinks = weights.vector(f"{prefix}.attn_sinks.weight", config.heads)
        self.form = AttentionForm(sinks=dequantize(sinks.type, sinks.data).reshape(-1))
        self.frequencies = config.rope.frequencies()  # float64 [P]

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        config = self.config
        q = self._rotate(ops, self.attn_q(ops, x))  # [T, H·E]
        k = self._rotate(ops, self.attn_k(ops, x))  # [T, G·E]
        v = self.attn_v(ops, x)  # [T, G·E]
        window = config.window_of(self.layer)
        mixed = ops.attention(q, k, v, self.layer, config.attention_scale, window, self.form)
        return self.attn_output(ops, mixed)

    def _rotate(self, ops: Ops, x: Array) -> Array:
        rope = self.config.rope
        return ops.rope(x, self.frequencies, self.config.head_width, rope.halves, rope.magnitude())


class Experts:
    """The mixture of experts; every product has a bias."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix, count = f"blk.{layer}", config.experts
        width, inner = config.width, config.expert_width
        self.used = config.experts_used
        self.ffn_gate_inp = weights.linear(f"{prefix}.ffn_gate_inp", count, width)
        self.gate = self._biased(weights, f"{prefix}.ffn_gate_exps", (count, inner, width))
        self.up = self._biased(weights, f"{prefix}.ffn_up_exps", (count, inner, width))
        self.down = self._biased(weights, f"{prefix}.ffn_down_exps", (count, width, inner))

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        routing = ops.route(self.ffn_gate_inp(ops, x), self.used)
        gate = self._product(ops, x, routing, self.gate)  # [T, used · F]
        up = self._product(ops, x, routing, self.up)
        down = self._product(ops, ops.clamped_swiglu(gate, up, ALPHA, LIMIT), routing, self.down)
        return ops.expert_sum(down, routing)

    @staticmethod
    def _biased(weights: Weights, name: str, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        bias = weights.matrix(f"{name}.bias", shape[0], shape[1])
        return weights.stack(f"{name}.weight", *shape), bias

    @staticmethod
    def _product(ops: Ops, x: Array, routing: Array, part: tuple[Tensor, Tensor]) -> Array:
        weight, bias = part
        return ops.expert_bias(ops.expert_matmul(x, routing, weight), routing, bias)


class Block:
    """One layer: attention, then the experts, each added to what came in."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        self.attn_norm = RmsNorm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = Attention(config, weights, layer)
        self.post_attention_norm = RmsNorm(config, weights, f"blk.{layer}.post_attention_norm")
        self.experts = Experts(config, weights, layer)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        x = ops.add(x, self.attention(ops, self.attn_norm(ops, x)))
        return ops.add(x, self.experts(ops, self.post_attention_norm(ops, x)))

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""
        return linears_of(self.attention, self.experts)


class GPTOSS(Decoder):
    """The whole model."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        super().__init__(config, tensors, Block, RmsNorm)
