"""BLOOM in Hugging Face's names, which stand with or without `transformer.` before them."""

from typing import Any

import numpy as np

from homezoo.errors import CheckpointError
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_recipe import Recipe, Rule

_CONTEXT = 2048  # BLOOM was trained on; its config.json often does not say it


def _heads(config: HFConfig) -> int:
    return config.integer("n_head", config.integer("num_attention_heads", 0))


def _width(config: HFConfig) -> int:
    return config.integer("hidden_size", config.integer("n_embed", 0))


def split_heads(values: np.ndarray, config: HFConfig) -> np.ndarray:
    """Rows of q, k, v head by head, [H * 3 * E, ...], to all of q, then k, then v."""
    heads = _heads(config)
    if heads < 1 or values.shape[0] % (3 * heads):
        raise CheckpointError(
            f"config.json: n_head is {heads}; query_key_value has {values.shape[0]} rows"
        )
    parts = values.reshape(heads, 3, -1, *values.shape[1:]).swapaxes(0, 1)
    return np.ascontiguousarray(parts).reshape(values.shape)


_PARTS: dict[str, str] = {
    "word_embeddings": "token_embd",
    "word_embeddings_layernorm": "token_embd_norm",
    "ln_f": "output_norm",
    "h.{layer}.input_layernorm": "blk.{layer}.attn_norm",
    "h.{layer}.self_attention.query_key_value": "blk.{layer}.attn_qkv",
    "h.{layer}.self_attention.dense": "blk.{layer}.attn_output",
    "h.{layer}.post_attention_layernorm": "blk.{layer}.ffn_norm",
    "h.{layer}.mlp.dense_h_to_4h": "blk.{layer}.ffn_up",
    "h.{layer}.mlp.dense_4h_to_h": "blk.{layer}.ffn_down",
}
_TENSORS: dict[str, Rule | str] = {
    f"{prefix}{theirs}.{kind}": Rule(
        f"{ours}.{kind}", split_heads if ours.endswith("attn_qkv") else None
    )
    for prefix in ("", "transformer.")
    for theirs, ours in _PARTS.items()
    for kind in ("weight", "bias")
}


def _bloom(config: HFConfig) -> dict[str, Any]:
    config.refuse_unless("apply_residual_connection_post_layernorm", False)
    return {
        "block_count": config.integer("n_layer", config.integer("num_hidden_layers", 0)),
        "context_length": config.integer("seq_length", _CONTEXT),
        "embedding_length": _width(config),
        "feed_forward_length": 4 * _width(config),
        "attention.head_count": _heads(config),
        "attention.head_count_kv": _heads(config),
        "attention.layer_norm_epsilon": config.real("layer_norm_epsilon", 1e-5),
        "vocab_size": config.integer("vocab_size"),
    }


RECIPES: dict[str, Recipe] = {
    "BloomForCausalLM": Recipe("bloom", _TENSORS, _bloom, ("lm_head.weight",))  # tied always
}
