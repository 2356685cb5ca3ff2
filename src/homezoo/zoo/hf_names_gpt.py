"""GPT-2, GPT-J and GPT-NeoX (Pythia, Dolly) in Hugging Face's names."""

from typing import Any

from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_names_bloom import split_heads
from homezoo.zoo.hf_recipe import Recipe, Rule

# Masks and tables that old checkpoints carry and every program computes for itself.
_MASKS = ("attn.bias", "attn.masked_bias")
_GPT2: dict[str, str] = {
    "wte": "token_embd",
    "ln_f": "output_norm",
    "h.{layer}.ln_1": "blk.{layer}.attn_norm",
    "h.{layer}.ln_2": "blk.{layer}.ffn_norm",
    "h.{layer}.attn.c_attn": "blk.{layer}.attn_qkv",
    "h.{layer}.attn.c_proj": "blk.{layer}.attn_output",
    "h.{layer}.mlp.c_fc": "blk.{layer}.ffn_up",
    "h.{layer}.mlp.c_proj": "blk.{layer}.ffn_down",
    "wpe": "position_embd",
}
_GPTJ: dict[str, str] = {
    "transformer.wte": "token_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "transformer.h.{layer}.ln_1": "blk.{layer}.attn_norm",
    "transformer.h.{layer}.attn.q_proj": "blk.{layer}.attn_q",
    "transformer.h.{layer}.attn.k_proj": "blk.{layer}.attn_k",
    "transformer.h.{layer}.attn.v_proj": "blk.{layer}.attn_v",
    "transformer.h.{layer}.attn.out_proj": "blk.{layer}.attn_output",
    "transformer.h.{layer}.mlp.fc_in": "blk.{layer}.ffn_up",
    "transformer.h.{layer}.mlp.fc_out": "blk.{layer}.ffn_down",
}
_NEOX: dict[str, str] = {
    "gpt_neox.embed_in": "token_embd",
    "gpt_neox.final_layer_norm": "output_norm",
    "embed_out": "output",
    "lm_head": "output",  # as transformers 5 spells it
    "gpt_neox.layers.{layer}.input_layernorm": "blk.{layer}.attn_norm",
    "gpt_neox.layers.{layer}.attention.query_key_value": "blk.{layer}.attn_qkv",
    "gpt_neox.layers.{layer}.attention.dense": "blk.{layer}.attn_output",
    "gpt_neox.layers.{layer}.post_attention_layernorm": "blk.{layer}.ffn_norm",
    "gpt_neox.layers.{layer}.mlp.dense_h_to_4h": "blk.{layer}.ffn_up",
    "gpt_neox.layers.{layer}.mlp.dense_4h_to_h": "blk.{layer}.ffn_down",
}
_GELU_TANH = ("gelu_new", "gelu_pytorch_tanh")
_GELU_FAST = "gelu_fast"  # GPT-NeoX 20B names the tanh form, which GGUF's gptneox is not


def _both(parts: dict[str, str], prefix: str = "") -> dict[str, Rule | str]:
    """Weights and biases."""
    return {
        f"{prefix}{theirs}.{kind}": Rule(
            f"{ours}.{kind}",
            change=split_heads if theirs.endswith("query_key_value") else None,
            transposed=kind == "weight" and ".c_" in theirs,
        )
        for theirs, ours in parts.items()
        for kind in ("weight", "bias")
    }


def _old_sizes(config: HFConfig) -> dict[str, Any]:
    """What GPT-2 and GPT-J say, in the names of their time."""
    config.refuse_unless("activation_function", *_GELU_TANH)
    width = config.integer("n_embd")
    return {
        "block_count": config.integer("n_layer"),
        "context_length": config.integer("n_positions"),
        "embedding_length": width,
        "feed_forward_length": config.integer("n_inner", 4 * width),
        "attention.head_count": config.integer("n_head"),
        "attention.layer_norm_epsilon": config.real("layer_norm_epsilon", 1e-5),
        "vocab_size": config.integer("vocab_size"),
    }


def _gpt2(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("scale_attn_weights", True)
    config.refuse_unless("scale_attn_by_inverse_layer_idx", False)
    config.refuse_unless("add_cross_attention", False)
    return _old_sizes(config)


def _gptj(config: HFConfig) -> dict[str, Any]:
    whole = config.integer("n_embd") // max(config.integer("n_head"), 1)
    return _old_sizes(config) | {"rope.dimension_count": config.integer("rotary_dim", whole)}


def _neox(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("hidden_act", "gelu", _GELU_FAST)
    rope = config.rope()
    rope.refuse_unless("rope_type", "default")
    rope.refuse_unless("type", "default")
    share = rope.real("partial_rotary_factor", config.real("rotary_pct", 0.25))
    heads = config.integer("num_attention_heads")
    return {
        "block_count": config.integer("num_hidden_layers"),
        "context_length": config.integer("max_position_embeddings"),
        "embedding_length": config.integer("hidden_size"),
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": heads,
        "attention.layer_norm_epsilon": config.real("layer_norm_eps", 1e-5),
        "rope.dimension_count": int(config.head_width * share),
        "rope.freq_base": rope.real("rope_theta", config.real("rotary_emb_base", 10000.0)),
        "use_parallel_residual": config.flag("use_parallel_residual", True),
        "vocab_size": config.integer("vocab_size"),
    }


def _neox_notes(config: HFConfig) -> list[str]:
    if config.text("hidden_act", "gelu") != _GELU_FAST:
        return []
    return ["hidden_act gelu_fast is computed as gelu, which differs from it by at most 0.0005"]


RECIPES: dict[str, Recipe] = {
    "GPT2LMHeadModel": Recipe(
        "gpt2",
        _both(_GPT2) | _both(_GPT2, "transformer."),
        _gpt2,
        ("lm_head.weight", *(f"{p}h.{{layer}}.{m}" for p in ("", "transformer.") for m in _MASKS)),
    ),
    "GPTJForCausalLM": Recipe(
        "gptj", _both(_GPTJ), _gptj, tuple(f"transformer.h.{{layer}}.{mask}" for mask in _MASKS)
    ),
    "GPTNeoXForCausalLM": Recipe(
        "gptneox",
        _both(_NEOX),
        _neox,
        tuple(
            f"gpt_neox.layers.{{layer}}.attention.{table}"
            for table in ("bias", "masked_bias", "rotary_emb.inv_freq")
        ),
        notes=_neox_notes,
    ),
}
