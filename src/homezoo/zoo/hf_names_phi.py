"""Phi-3 in Hugging Face's names: LLaMA's layers with fused weights, which GGUF keeps fused."""

from typing import Any

from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_names_llama import PLAIN, sizes
from homezoo.zoo.hf_recipe import Recipe, Rule

_SPLIT = ("self_attn.q_", "self_attn.k_", "self_attn.v_", "mlp.gate_", "mlp.up_")
_FUSED: dict[str, Rule | str] = {
    "model.layers.{layer}.self_attn.qkv_proj.weight": "blk.{layer}.attn_qkv.weight",
    "model.layers.{layer}.mlp.gate_up_proj.weight": "blk.{layer}.ffn_up.weight",
}
_TENSORS = {n: rule for n, rule in PLAIN.items() if not any(part in n for part in _SPLIT)} | _FUSED


def _phi3(config: HFConfig) -> dict[str, Any]:
    keys = sizes(config)
    if config.has("sliding_window"):
        keys["attention.sliding_window"] = config.integer("sliding_window")
    return keys


RECIPES: dict[str, Recipe] = {"Phi3ForCausalLM": Recipe("phi3", _TENSORS, _phi3)}
