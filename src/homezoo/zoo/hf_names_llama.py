"""The LLaMA family in Hugging Face's names: LLaMA, Mistral, Qwen2, Qwen3, SmolLM3."""

from typing import Any

import numpy as np

from homezoo.zoo.hf_config import HFConfig, llama3_factors, rope_metadata
from homezoo.zoo.hf_layers import refuse_other_rotation
from homezoo.zoo.hf_recipe import Recipe, Rule, interleave_halves

_QUERIES = interleave_halves("num_attention_heads")
_KEYS = interleave_halves("num_key_value_heads")

_LAYER = "model.layers.{layer}."
PLAIN: dict[str, Rule | str] = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    _LAYER + "input_layernorm.weight": "blk.{layer}.attn_norm.weight",
    _LAYER + "self_attn.q_proj.weight": "blk.{layer}.attn_q.weight",
    _LAYER + "self_attn.k_proj.weight": "blk.{layer}.attn_k.weight",
    _LAYER + "self_attn.v_proj.weight": "blk.{layer}.attn_v.weight",
    _LAYER + "self_attn.o_proj.weight": "blk.{layer}.attn_output.weight",
    _LAYER + "self_attn.q_proj.bias": "blk.{layer}.attn_q.bias",
    _LAYER + "self_attn.k_proj.bias": "blk.{layer}.attn_k.bias",
    _LAYER + "self_attn.v_proj.bias": "blk.{layer}.attn_v.bias",
    _LAYER + "self_attn.o_proj.bias": "blk.{layer}.attn_output.bias",
    _LAYER + "post_attention_layernorm.weight": "blk.{layer}.ffn_norm.weight",
    _LAYER + "mlp.gate_proj.weight": "blk.{layer}.ffn_gate.weight",
    _LAYER + "mlp.up_proj.weight": "blk.{layer}.ffn_up.weight",
    _LAYER + "mlp.down_proj.weight": "blk.{layer}.ffn_down.weight",
    _LAYER + "mlp.gate_proj.bias": "blk.{layer}.ffn_gate.bias",
    _LAYER + "mlp.up_proj.bias": "blk.{layer}.ffn_up.bias",
    _LAYER + "mlp.down_proj.bias": "blk.{layer}.ffn_down.bias",
}
INTERLEAVED: dict[str, Rule | str] = {
    _LAYER + f"self_attn.{part}_proj.{kind}": Rule(f"blk.{{layer}}.attn_{part}.{kind}", change)
    for part, change in (("q", _QUERIES), ("k", _KEYS))
    for kind in ("weight", "bias")
}
HEAD_NAMES: dict[str, Rule | str] = {
    _LAYER + "self_attn.q_norm.weight": "blk.{layer}.attn_q_norm.weight",
    _LAYER + "self_attn.k_norm.weight": "blk.{layer}.attn_k_norm.weight",
}
# Tables that old checkpoints carry and every program computes for itself.
IGNORED = (_LAYER + "self_attn.rotary_emb.inv_freq",)


def sizes(config: HFConfig, llama3: bool = False) -> dict[str, Any]:
    """What all decoder models of this kind say about themselves.

    UnsupportedError for what GGUF has no keys for, rope scaling of kind llama3 unless `llama3`.
    """
    config.refuse_unless("hidden_act", "silu")
    return {
        "block_count": config.integer("num_hidden_layers"),
        "context_length": config.integer("max_position_embeddings"),
        "embedding_length": config.integer("hidden_size"),
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": config.integer("num_attention_heads"),
        "attention.head_count_kv": config.integer(
            "num_key_value_heads", config.integer("num_attention_heads")
        ),
        "attention.key_length": config.head_width,
        "attention.value_length": config.head_width,
        "attention.layer_norm_rms_epsilon": config.real("rms_norm_eps", 1e-6),
        "vocab_size": config.integer("vocab_size"),
        **rope_metadata(config, llama3),
    }


def _llama(config: HFConfig) -> dict[str, Any]:
    return sizes(config, llama3=True)


def _mistral(config: HFConfig) -> dict[str, Any]:
    keys = sizes(config)
    if config.has("sliding_window"):
        keys["attention.sliding_window"] = config.integer("sliding_window")
    return keys


def _qwen(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("use_sliding_window", False)
    return sizes(config)


def _smollm3(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("use_sliding_window", False)
    refuse_other_rotation(config, "smollm3")
    return sizes(config)


def _factors(config: HFConfig) -> dict[str, np.ndarray]:
    factors = llama3_factors(config)
    return {} if factors is None else {"rope_freqs.weight": factors}


RECIPES: dict[str, Recipe] = {
    "LlamaForCausalLM": Recipe("llama", PLAIN | INTERLEAVED, _llama, IGNORED, _factors),
    "MistralForCausalLM": Recipe("llama", PLAIN | INTERLEAVED, _mistral, IGNORED),
    "Qwen2ForCausalLM": Recipe("qwen2", PLAIN, _qwen, IGNORED),
    "Qwen3ForCausalLM": Recipe("qwen3", PLAIN | HEAD_NAMES, _qwen, IGNORED),
    "SmolLM3ForCausalLM": Recipe("smollm3", PLAIN | INTERLEAVED, _smollm3, IGNORED, tied=True),
}
