"""Gemma 2 and 3 in Hugging Face's names. Norms are kept as what they differ from 1 by."""

from typing import Any

from homezoo.models.gemma2 import SCALED_BY_WIDTH
from homezoo.zoo.hf_config import HFConfig, rope_metadata
from homezoo.zoo.hf_layers import refuse_other_layers
from homezoo.zoo.hf_recipe import Recipe, Rule, plus_one

_MATRICES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
# What transformers takes where a config.json of Gemma 3 is silent, as those with images are.
_GEMMA3: dict[str, Any] = {
    "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 256,
    "sliding_window": 4096, "rope_theta": 1e6, "rope_local_base_freq": 10000.0,
}  # fmt: skip
_IMAGES = ("vision_tower.*", "multi_modal_projector.*")


def _tensors(prefix: str) -> dict[str, Rule | str]:
    layer = f"{prefix}layers.{{layer}}."
    matrices: dict[str, Rule | str] = {
        f"{layer}{theirs}.weight": f"blk.{{layer}}.{ours}.weight"
        for theirs, ours in _MATRICES.items()
    }
    norms = {
        f"{layer}{theirs}.weight": Rule(f"blk.{{layer}}.{ours}.weight", plus_one)
        for theirs, ours in _NORMS.items()
    }
    return {
        f"{prefix}embed_tokens.weight": "token_embd.weight",
        f"{prefix}norm.weight": Rule("output_norm.weight", plus_one),
        **matrices,
        **norms,
    }


def _sizes(config: HFConfig, architecture: str) -> dict[str, Any]:
    """What both generations say."""
    config.refuse_unless("hidden_activation", "gelu_pytorch_tanh")
    config.refuse_unless("use_bidirectional_attention", False)
    refuse_other_layers(config, architecture)
    keys = {
        "block_count": config.integer("num_hidden_layers"),
        "context_length": config.integer("max_position_embeddings"),
        "embedding_length": config.integer("hidden_size"),
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": config.integer("num_attention_heads"),
        "attention.head_count_kv": config.integer("num_key_value_heads"),
        "attention.key_length": config.head_width,
        "attention.value_length": config.head_width,
        "attention.layer_norm_rms_epsilon": config.real("rms_norm_eps", 1e-6),
        "vocab_size": config.integer("vocab_size"),
    }
    if config.has("sliding_window"):
        keys["attention.sliding_window"] = config.integer("sliding_window")
    if config.has("final_logit_softcapping"):
        keys["final_logit_softcapping"] = config.real("final_logit_softcapping")
    if _own_scale(config, architecture):
        keys["attention.scale"] = config.real("query_pre_attn_scalar") ** -0.5
    return keys


def _own_scale(config: HFConfig, architecture: str) -> bool:
    """Whether scores are scaled by something else than the sizes of the model say."""
    heads, width = config.integer("num_attention_heads"), config.integer("hidden_size")
    by_width = config.integer("num_hidden_layers") == SCALED_BY_WIDTH[architecture]
    usual = width / max(heads, 1) if by_width else config.head_width
    return config.real("query_pre_attn_scalar", usual) != usual


def _gemma2(config: HFConfig) -> dict[str, Any]:
    keys = _sizes(config, "gemma2") | rope_metadata(config)
    if config.has("attn_logit_softcapping"):
        keys["attn_logit_softcapping"] = config.real("attn_logit_softcapping")
    return keys


def _gemma3_config(config: HFConfig) -> HFConfig:
    """With what a silent config.json means, and the rope settings of full attention on top."""
    given = {key: value for key, value in config.values.items() if value is not None}
    rope = given.get("rope_parameters")
    local: dict[str, Any] = {}
    if isinstance(rope, dict) and isinstance(rope.get("full_attention"), dict):
        given["rope_parameters"] = rope["full_attention"]
        sliding = HFConfig(rope.get("sliding_attention") or {})
        sliding.refuse_unless("rope_type", "default")
        local["rope_local_base_freq"] = sliding.real("rope_theta", 10000.0)
    return HFConfig(_GEMMA3 | given | local)


def _gemma3(config: HFConfig) -> dict[str, Any]:
    full = _gemma3_config(config)
    full.refuse_unless("attn_logit_softcapping")
    local = {"rope.freq_base_swa": full.real("rope_local_base_freq")}
    return _sizes(full, "gemma3") | rope_metadata(full) | local


def _scale_notes(config: HFConfig, architecture: str) -> list[str]:
    if not _own_scale(config, architecture):
        return []
    scalar = config.real("query_pre_attn_scalar")
    return [f"query_pre_attn_scalar is {scalar:g}, which llama.cpp takes from the sizes instead"]


def _gemma2_notes(config: HFConfig) -> list[str]:
    return _scale_notes(config, "gemma2")


def _gemma3_notes(config: HFConfig) -> list[str]:
    return _scale_notes(_gemma3_config(config), "gemma3")


def _with_images(config: HFConfig) -> list[str]:
    return ["only the text part is converted; images are not read", *_gemma3_notes(config)]


RECIPES: dict[str, Recipe] = {
    "Gemma2ForCausalLM": Recipe(
        "gemma2", _tensors("model."), _gemma2, ("lm_head.weight",), tied=True, notes=_gemma2_notes
    ),
    "Gemma3ForCausalLM": Recipe(
        "gemma3", _tensors("model."), _gemma3, ("lm_head.weight",), tied=True, notes=_gemma3_notes
    ),
    "Gemma3ForConditionalGeneration": Recipe(
        "gemma3",
        _tensors("language_model.model.") | _tensors("model.language_model."),
        _gemma3,
        ("lm_head.weight", *_IMAGES, *(f"model.{name}" for name in _IMAGES)),
        part="text_config",
        tied=True,
        notes=_with_images,
    ),
}
