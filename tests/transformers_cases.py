"""Random models of every supported kind beside `transformers`, which says what is right.

Run as `PYTHONPATH=src:tests python tests/transformers_cases.py` where torch and transformers are
installed, it writes their logits to tests/models/transformers_logits.json for tests without them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from random_models import RandomModel, random_model

from homezoo.models.rope import RopeConfig

RECORDED = Path(__file__).parent / "models" / "transformers_logits.json"
KEPT = (slice(None, None, 9), slice(None, None, 5))  # ten tokens, twenty logits of each
TOKENS = np.random.default_rng(1).integers(0, 100, 90).tolist()  # crosses a cache block of 64
HALF_CACHE = "eager_with_a_float16_cache"
QKV = ("attn_q", "attn_k", "attn_v")
ALL = (*QKV, "attn_output", "ffn_gate", "ffn_up", "ffn_down")
LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
YARN_KEYS = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
HF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# name: our maker's options, the transformers class, its extra settings
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "llama_grouped_heads": ({}, "Llama", {}),
    "llama_tied_one_kv_head": ({"tied": True, "kv_heads": 1}, "Llama", {}),
    "llama_biases": (
        {"biases": ALL, "kv_heads": 4},
        "Llama",
        {"attention_bias": True, "mlp_bias": True},
    ),
    "llama_linear": (
        {"keys": {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}},
        "Llama",
        {"rope": {"rope_type": "linear", "factor": 4.0}},
    ),
    "llama_yarn": ({"keys": YARN_KEYS}, "Llama", {"rope": YARN}),
    "llama3": ({"head_width": 32}, "Llama", {"rope": LLAMA3}),
    "mistral_window": ({"keys": {"attention.sliding_window": 9}}, "Mistral", {"sliding_window": 9}),
    "qwen2": ({"architecture": "qwen2", "biases": QKV, "tied": True}, "Qwen2", {}),
    "qwen3": ({"architecture": "qwen3", "head_width": 32}, "Qwen3", {}),
    "qwen3_yarn": ({"architecture": "qwen3", "keys": YARN_KEYS}, "Qwen3", {"rope": YARN}),
}


def llama3_divisors(width: int, base: float) -> np.ndarray:
    """LLAMA3 as converters write it: what divides the plain frequencies, [width / 2]."""
    plain = RopeConfig(dimensions=width, base=base).frequencies()
    turns = LLAMA3["original_max_position_embeddings"] * plain / (2 * np.pi)
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return 1 / (kept + (1 - kept) / LLAMA3["factor"])


def random_file(name: str) -> RandomModel:
    """The case's model."""
    divisors = llama3_divisors(32, 10000.0) if name == "llama3" else None
    return random_model(**CASES[name][0], rope_factors=divisors)


def hf_logits(name: str) -> np.ndarray:
    """What transformers computes for TOKENS: float32 [T, V]."""
    import torch

    _, kind, settings = CASES[name]
    file = random_file(name)
    _keep_the_cache_in_float16()
    model = hf_model(file, hf_config(file, kind, settings), kind)
    with torch.no_grad():
        return np.asarray(model(torch.tensor([TOKENS])).logits[0].numpy())


def _keep_the_cache_in_float16() -> None:
    """Teaches transformers to keep keys and values as float16, as our cache does."""
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, eager_mask
    from transformers.models.llama.modeling_llama import eager_attention_forward

    def attend(module: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
        halved = key.half().float(), value.half().float()
        return eager_attention_forward(module, query, *halved, *rest, **options)

    transformers.AttentionInterface.register(HALF_CACHE, attend)
    AttentionMaskInterface.register(HALF_CACHE, eager_mask)


def hf_config(file: RandomModel, kind: str, settings: dict[str, Any]) -> Any:
    """The transformers configuration that describes the same model."""
    import transformers

    sizes = {key.split(".", 1)[1]: value for key, value in file.metadata.items() if "." in key}
    settings = dict(settings)
    rope = {"rope_theta": 10000.0, "rope_type": "default"} | settings.pop("rope", {})
    return getattr(transformers, f"{kind}Config")(
        vocab_size=len(file.arrays["token_embd.weight"]),
        hidden_size=sizes["embedding_length"],
        intermediate_size=sizes["feed_forward_length"],
        num_hidden_layers=sizes["block_count"],
        num_attention_heads=sizes["attention.head_count"],
        num_key_value_heads=sizes["attention.head_count_kv"],
        head_dim=sizes["attention.key_length"],
        max_position_embeddings=sizes["context_length"],
        rms_norm_eps=sizes["attention.layer_norm_rms_epsilon"],
        tie_word_embeddings="output.weight" not in file.arrays,
        rope_parameters=rope,
        attn_implementation=HALF_CACHE,
        **settings,
    )


def halves_from_pairs(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of attn_q or attn_k in a llama file, pairs as neighbours, to transformers' halves."""
    split = values.reshape(heads, -1, 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def hf_model(file: RandomModel, config: Any, kind: str) -> Any:
    """The transformers model with the same weights."""
    import torch
    import transformers

    state = {}
    for name, values in file.arrays.items():
        *place, part, kind_of = name.split(".")
        if part in ("attn_q", "attn_k") and file.metadata["general.architecture"] == "llama":
            heads = config.num_attention_heads if part == "attn_q" else config.num_key_value_heads
            values = halves_from_pairs(values, heads)
        prefix = f"model.layers.{place[1]}." if place else ""
        state[f"{prefix}{HF_NAMES[part]}.{kind_of}"] = torch.from_numpy(values.copy())
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert missing == (["lm_head.weight"] if config.tie_word_embeddings else [])
    return model


def record() -> None:
    """Writes the logits of every case, rounded to five decimals."""
    recorded = {name: np.round(hf_logits(name)[KEPT].astype(float), 5).tolist() for name in CASES}
    RECORDED.write_text(json.dumps(recorded, separators=(",", ":")).replace("]],", "]],\n") + "\n")


if __name__ == "__main__":
    record()
