"""Mixture of experts, as in Mixtral and Qwen3-MoE: each token passes a few networks of many."""

from homezoo.models.config import ModelConfig
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Experts:
    """SwiGLU networks and the router that chooses among them (Jiang et al. 2024, equation 1).

    The chosen experts' weights are the softmax over their scores alone. Deltas can be attached to
    the router only.
    """

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        prefix, width = f"blk.{layer}", config.expert_width
        self.used = config.experts_used
        self.ffn_gate_inp = weights.linear(f"{prefix}.ffn_gate_inp", config.experts, config.width)
        inward, outward = (
            (config.experts, width, config.width),
            (config.experts, config.width, width),
        )
        self.ffn_gate_exps = weights.stack(f"{prefix}.ffn_gate_exps.weight", *inward)
        self.ffn_up_exps = weights.stack(f"{prefix}.ffn_up_exps.weight", *inward)
        self.ffn_down_exps = weights.stack(f"{prefix}.ffn_down_exps.weight", *outward)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        routing = ops.route(self.ffn_gate_inp(ops, x), self.used)
        gate = ops.expert_matmul(x, routing, self.ffn_gate_exps)  # [T, used · F]
        up = ops.expert_matmul(x, routing, self.ffn_up_exps)
        down = ops.expert_matmul(ops.silu_mul(gate, up), routing, self.ffn_down_exps)
        return ops.expert_sum(down, routing)
