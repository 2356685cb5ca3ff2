"""Mixtures of experts in Hugging Face's names: Mixtral and Qwen3-MoE.

Checkpoints keep each expert by itself; transformers 5 holds all of them in one tensor.
"""

from typing import Any

from homezoo.errors import UnsupportedError
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_names_llama import HEAD_NAMES, IGNORED, INTERLEAVED, PLAIN, sizes
from homezoo.zoo.hf_recipe import Half, Recipe, Rule

_LAYER = "model.layers.{layer}."
_GATE, _UP, _DOWN = (f"blk.{{layer}}.ffn_{part}_exps.weight" for part in ("gate", "up", "down"))
Tensors = dict[str, Rule | str | tuple[Rule, ...]]
_STACKED: Tensors = {
    _LAYER + "mlp.gate.weight": "blk.{layer}.ffn_gate_inp.weight",
    _LAYER + "mlp.experts.gate_up_proj": (
        Rule(_GATE, stacked=True, half=Half.FIRST),
        Rule(_UP, stacked=True, half=Half.SECOND),
    ),
    _LAYER + "mlp.experts.down_proj": Rule(_DOWN, stacked=True),
}


def _each(place: str, gate: str, up: str, down: str) -> Tensors:
    """One tensor for each expert and part."""
    return {
        f"{_LAYER}{place}.{{expert}}.{theirs}.weight": f"blk.{{layer}}.ffn_{ours}_{{expert}}.weight"
        for theirs, ours in ((gate, "gate"), (up, "up"), (down, "down"))
    }


_SHARED: Tensors = {name: rule for name, rule in PLAIN.items() if ".mlp." not in name}
_MIXTRAL: Tensors = (
    _SHARED
    | INTERLEAVED
    | _STACKED
    | _each("block_sparse_moe.experts", "w1", "w3", "w2")
    | {_LAYER + "block_sparse_moe.gate.weight": "blk.{layer}.ffn_gate_inp.weight"}
)
_QWEN: Tensors = (
    _SHARED | HEAD_NAMES | _STACKED | _each("mlp.experts", "gate_proj", "up_proj", "down_proj")
)


def _mixtral(config: HFConfig) -> dict[str, Any]:
    keys = sizes(config) | {
        "expert_count": config.integer("num_local_experts"),
        "expert_used_count": config.integer("num_experts_per_tok"),
    }
    if config.has("sliding_window"):
        keys["attention.sliding_window"] = config.integer("sliding_window")
    return keys


def _qwen3_moe(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("use_sliding_window", False)
    config.refuse_unless("decoder_sparse_step", 1)
    config.refuse_unless("mlp_only_layers", [])
    if not config.flag("norm_topk_prob", False):
        raise UnsupportedError(
            "config.json: norm_topk_prob is not true; only models that weigh the chosen experts "
            "among themselves can be converted"
        )
    return sizes(config) | {
        "expert_count": config.integer(
            "num_experts" if config.has("num_experts") else "num_local_experts"
        ),
        "expert_used_count": config.integer("num_experts_per_tok"),
        "expert_feed_forward_length": config.integer("moe_intermediate_size"),
    }


RECIPES: dict[str, Recipe] = {
    "MixtralForCausalLM": Recipe("llama", _MIXTRAL, _mixtral, IGNORED),
    "Qwen3MoeForCausalLM": Recipe("qwen3moe", _QWEN, _qwen3_moe, IGNORED),
}
