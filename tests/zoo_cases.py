"""Every architecture beside LLaMA's family next to `transformers`, which says what is right.

Run as `PYTHONPATH=src:tests python tests/zoo_cases.py` where torch and transformers are installed,
it writes their logits to tests/models/zoo_logits.json for tests without them.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from random_models import RandomModel
from transformers_cases import KEPT, TOKENS, halves_from_pairs
from zoo_models import CONTEXT, EXPERTS, SMALL, USED, D, E, F, G, H, Sizes, V, zoo_model

from homezoo.formats.block_types import BlockType

RECORDED = Path(__file__).parent / "models" / "zoo_logits.json"
HALF_CACHE = "eager_with_keys_and_values_in_float16"
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
WINDOW = {"attention.sliding_window": 9}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
YARN_KEYS = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
USUAL: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": D,
    "intermediate_size": F,
    "num_attention_heads": H,
    "num_key_value_heads": G,
    "head_dim": E,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
TIED = USUAL | {"tie_word_embeddings": True}
OLD: dict[str, Any] = {
    "vocab_size": V, "n_embd": D, "n_head": H, "n_inner": F, "n_positions": CONTEXT,
    "layer_norm_epsilon": 1e-5,
}  # fmt: skip
NEOX = USUAL | {"hidden_act": "gelu", "layer_norm_eps": 1e-5}
PART = {"rope.dimension_count": 8}
HEAD = {"attention.key_length": E, "attention.value_length": E}
GEMMA = TIED | {"query_pre_attn_scalar": E, "sliding_window": 9}
CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}  # low, so that they matter
LOCAL = {
    "sliding_attention": ROPE,
    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
}
GEMMA3_KEYS = WINDOW | {
    "rope.freq_base": 1e6, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0,
}  # fmt: skip
MOE = {"num_local_experts": EXPERTS, "num_experts_per_tok": USED}
QWEN_MOE = {"num_experts": EXPERTS, "num_experts_per_tok": USED, "norm_topk_prob": True}
# case: architecture, our layers and metadata, the transformers class, its settings
CASES: dict[str, tuple[str, int, dict[str, Any], str, dict[str, Any]]] = {
    "bloom": ("bloom", 2, {}, "BloomForCausalLM", {"vocab_size": V, "hidden_size": D, "n_head": H}),
    "gpt2": ("gpt2", 2, {}, "GPT2LMHeadModel", OLD),
    "gptj": ("gptj", 2, PART, "GPTJForCausalLM", OLD | {"rotary_dim": 8}),
    "gptneox": (
        "gptneox", 2, PART | {"use_parallel_residual": True}, "GPTNeoXForCausalLM",
        NEOX | {"rope": ROPE | {"partial_rotary_factor": 0.5}},
    ),
    "gptneox_in_turn": (
        "gptneox", 2, PART | {"use_parallel_residual": False}, "GPTNeoXForCausalLM",
        NEOX | {"rope": ROPE | {"partial_rotary_factor": 0.5}, "use_parallel_residual": False},
    ),
    "gemma2": (
        "gemma2", 2, WINDOW | CAPS | HEAD, "Gemma2ForCausalLM", GEMMA | CAPS | {"rope": ROPE},
    ),
    "gemma3": ("gemma3", 6, GEMMA3_KEYS | HEAD, "Gemma3ForCausalLM", GEMMA | {"rope": LOCAL}),
    "phi3": ("phi3", 2, {}, "Phi3ForCausalLM", USUAL | {"rope": ROPE, "pad_token_id": 0}),
    "phi3_window": (
        "phi3", 2, WINDOW, "Phi3ForCausalLM",
        USUAL | {"rope": ROPE, "pad_token_id": 0, "sliding_window": 9},
    ),
    "mixtral": ("llama", 2, {}, "MixtralForCausalLM", USUAL | MOE | {"rope": ROPE}),
    "qwen3moe": (
        "qwen3moe", 2, {"expert_feed_forward_length": F} | HEAD, "Qwen3MoeForCausalLM",
        USUAL | QWEN_MOE | {"moe_intermediate_size": F, "rope": ROPE},
    ),
    "smollm3": (
        "smollm3", 4, {}, "SmolLM3ForCausalLM", TIED | {"rope": ROPE, "pad_token_id": 0},
    ),
    "gpt_oss": (
        "gpt-oss", 2, WINDOW | YARN_KEYS | {"expert_feed_forward_length": F} | HEAD,
        "GptOssForCausalLM",
        USUAL | MOE | {"sliding_window": 9, "rope": YARN | {"truncate": False, "rope_theta": 1e4}},
    ),
    "bert": (
        "bert", 2, {"attention.causal": False}, "BertModel",
        USUAL | {"layer_norm_eps": 1e-5, "hidden_act": "gelu"},
    ),
}  # fmt: skip
NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
SPLIT = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}  # fmt: skip
GATED = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
LLAMA = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "": "model.layers", **NORMS, **SPLIT, **GATED, "ffn_gate_inp": "mlp.gate",
    "ffn_down_exps": "mlp.experts.down_proj", "ffn_gate_exps": "gate", "ffn_up_exps": "up",
}  # fmt: skip
GPT = {"token_embd": "transformer.wte", "output_norm": "transformer.ln_f", "": "transformer.h"}
DENSE = {"ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"}
GEMMA_NAMES = LLAMA | {
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}  # fmt: skip
NAMES: dict[str, dict[str, str]] = {
    "llama": LLAMA,
    "qwen3moe": LLAMA,
    "smollm3": LLAMA,
    "gemma2": GEMMA_NAMES,
    "gemma3": GEMMA_NAMES,
    "phi3": LLAMA | {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
    "gpt-oss": LLAMA | {
        "attn_sinks": "self_attn.sinks", "ffn_gate_inp": "mlp.router",
        "post_attention_norm": "post_attention_layernorm",
    },
    "bloom": {
        "token_embd": "transformer.word_embeddings", "": "transformer.h",
        "token_embd_norm": "transformer.word_embeddings_layernorm",
        "output_norm": "transformer.ln_f", "attn_qkv": "self_attention.query_key_value",
        "attn_output": "self_attention.dense", **NORMS, **DENSE,
    },
    "gpt2": GPT | {
        "position_embd": "transformer.wpe", "attn_norm": "ln_1", "attn_qkv": "attn.c_attn",
        "attn_output": "attn.c_proj", "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc",
        "ffn_down": "mlp.c_proj",
    },
    "gptj": GPT | {
        "output": "lm_head", "attn_norm": "ln_1", "attn_q": "attn.q_proj", "attn_k": "attn.k_proj",
        "attn_v": "attn.v_proj", "attn_output": "attn.out_proj", "ffn_up": "mlp.fc_in",
        "ffn_down": "mlp.fc_out",
    },
    "gptneox": {
        "token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm",
        "output": "lm_head", "": "gpt_neox.layers", "attn_qkv": "attention.query_key_value",
        "attn_output": "attention.dense", **NORMS, **DENSE,
    },
    "bert": {
        "token_embd": "embeddings.word_embeddings", "token_embd_norm": "embeddings.LayerNorm",
        "position_embd": "embeddings.position_embeddings",
        "token_types": "embeddings.token_type_embeddings", "": "encoder.layer",
        "attn_q": "attention.self.query", "attn_k": "attention.self.key",
        "attn_v": "attention.self.value", "attn_output": "attention.output.dense",
        "attn_output_norm": "attention.output.LayerNorm", "ffn_up": "intermediate.dense",
        "ffn_down": "output.dense", "layer_output_norm": "output.LayerNorm",
    },
}  # fmt: skip


def zoo_file(name: str, type: BlockType = BlockType.F32, sizes: Sizes = SMALL) -> RandomModel:
    """The case's model."""
    architecture, layers, keys, *_ = CASES[name]
    if "expert_feed_forward_length" in keys:
        keys = keys | {"expert_feed_forward_length": sizes.F}
    return zoo_model(architecture, layers, keys, type, sizes=sizes)


def hf_states(file: RandomModel) -> dict[str, np.ndarray]:
    """The same weights under transformers' names, in its layouts."""
    architecture = file.metadata["general.architecture"]
    names, states = NAMES[architecture], {}
    for name, values in file.arrays.items():
        *place, part, kind = name.split(".")
        prefix = f"{names['']}.{place[1]}." if place else ""
        end = "" if part == "attn_sinks" else f".{kind}"
        states[f"{prefix}{names[part]}{end}"] = _layout(architecture, part, kind, values)
    return _join_experts(states, architecture)


def _layout(architecture: str, part: str, kind: str, values: np.ndarray) -> np.ndarray:
    if architecture in ("llama", "smollm3") and part in ("attn_q", "attn_k"):
        return halves_from_pairs(values, H if part == "attn_q" else G)
    if architecture in ("bloom", "gptneox") and part == "attn_qkv":  # q, k, v of a head together
        return values.reshape(3, H, E, *values.shape[1:]).swapaxes(0, 1).reshape(values.shape)
    if architecture.startswith("gemma") and "norm" in part:
        return values - 1
    if architecture == "gpt2" and kind == "weight" and values.ndim == 2 and "embd" not in part:
        return values.T
    return values


def _join_experts(states: dict[str, np.ndarray], architecture: str) -> dict[str, np.ndarray]:
    """Gate and up as one array: one after the other, or in gpt-oss in turn and transposed."""
    joined = {}
    for name, values in states.items():
        *place, part, kind = name.split(".")
        where, suffix = ".".join(place), "" if kind == "weight" else "_bias"
        if "down_proj" in part and "experts" in name:
            turned = architecture == "gpt-oss" and not suffix
            joined[f"{where}.{part}{suffix}"] = values.swapaxes(1, 2) if turned else values
        elif part == "gate" and place[-1] != "mlp":
            up = states[f"{where}.up.{kind}"]
            if architecture == "gpt-oss":
                both = np.stack([values, up], 2).reshape(EXPERTS, 2 * F, *values.shape[2:])
                both = both if suffix else both.swapaxes(1, 2)
            else:
                both = np.concatenate([values, up], 1)
            joined[f"{where}.mlp.experts.gate_up_proj{suffix}"] = both
        elif part != "up":
            joined[name] = values
    return joined


def hf_logits(name: str) -> np.ndarray:
    """What transformers computes for TOKENS: float32 [T, V], or an encoder's states [T, D]."""
    import torch

    with torch.no_grad():
        found = hf_model(name)(torch.tensor([TOKENS]))
    return np.asarray((found[0] if name == "bert" else found.logits)[0].numpy())


def hf_model(name: str) -> Any:
    """The transformers model of a case, keeping keys and values in float16 as our cache does."""
    import torch
    import transformers

    _, layers, _, kind, settings = CASES[name]
    settings = dict(settings)
    settings["n_layer" if "n_head" in settings else "num_hidden_layers"] = layers
    if rope := settings.pop("rope", None):
        settings["rope_parameters"] = rope
    home = sys.modules[getattr(transformers, kind).__module__]
    if not (own := not hasattr(home, "eager_attention_forward")):  # BLOOM's is inside the model
        _register_half_cache()
        settings["attn_implementation"] = HALF_CACHE
    config_class = getattr(transformers, kind).config_class
    model = getattr(transformers, kind)(config_class(**settings)).eval()
    states = {k: torch.from_numpy(v.copy()) for k, v in hf_states(zoo_file(name)).items()}
    if kind == "BloomForCausalLM":
        _resize_bloom(model)
    missing, unexpected = model.load_state_dict(states, strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"lm_head.weight", "pooler.dense.weight", "pooler.dense.bias"}, missing
    if own:
        _halve_inside(model)
    return model


def _resize_bloom(model: Any) -> None:
    """BLOOM's feed-forward width is always 4 D in transformers; ours is F."""
    import torch

    for block in model.transformer.h:
        block.mlp.dense_h_to_4h = torch.nn.Linear(D, F)
        block.mlp.dense_4h_to_h = torch.nn.Linear(F, D)


def _register_half_cache() -> None:
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    def attend(module: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
        eager: Callable[..., Any] = sys.modules[type(module).__module__].eager_attention_forward
        return eager(module, query, key.half().float(), value.half().float(), *rest, **options)

    transformers.AttentionInterface.register(HALF_CACHE, attend)
    AttentionMaskInterface.register(HALF_CACHE, eager_mask)


def _halve_inside(model: Any) -> None:
    for block in model.transformer.h:
        if hasattr(block, "self_attention"):

            def halve(_module: Any, _inputs: Any, fused: Any) -> Any:
                heads = fused.view(*fused.shape[:-1], H, 3, E).clone()
                heads[..., 1:, :] = heads[..., 1:, :].half().float()
                return heads.view(fused.shape)

            block.self_attention.query_key_value.register_forward_hook(halve)
        else:
            plain = block.attn._attn

            def attend(q: Any, k: Any, v: Any, *rest: Any, plain: Any = plain, **more: Any) -> Any:
                return plain(q, k.half().float(), v.half().float(), *rest, **more)

            block.attn._attn = attend


def record() -> None:
    """Writes the logits of every case, rounded to five decimals."""
    recorded = {name: np.round(hf_logits(name)[KEPT].astype(float), 5).tolist() for name in CASES}
    RECORDED.write_text(json.dumps(recorded, separators=(",", ":")).replace("]],", "]],\n") + "\n")


if __name__ == "__main__":
    record()
